package frozen

import (
	"bytes"
	"testing"
	"unicode/utf8"
)

// FuzzRead feeds whole files: no panic, and what is read can be written and read
// again without a change.
func FuzzRead(f *testing.F) {
	data := encode(f, sample(f))
	f.Add(data)
	f.Add(data[:len(data)/2])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		if n, err := decode(data); err == nil {
			checkDecoded(t, n)
		}
	})
}

// FuzzReadNetwork feeds the description of the network inside a file that is
// right in everything else, which random bytes never are.
func FuzzReadNetwork(f *testing.F) {
	text := takeApart(f, sample(f)).meta[keyNetwork]
	f.Add(text)
	f.Add(`{"tensors":[],"layers":[],"inputs":[],"outputs":[]}`)
	for _, c := range brokenFiles {
		parts := takeApart(f, sample(f))
		c.do(parts)
		f.Add(parts.meta[keyNetwork])
	}
	f.Fuzz(func(t *testing.T, text string) {
		c := takeApart(t, sample(t))
		c.meta[keyNetwork] = text
		if !utf8.ValidString(text) {
			return // no safetensors file holds it
		}
		if n, err := decode(c.bytes(t)); err == nil {
			checkDecoded(t, n)
		}
	})
}

// checkDecoded wants a network that survives another trip, and that runs, or says
// why not, when that is little work.
func checkDecoded(t *testing.T, n *Network) {
	var b bytes.Buffer
	if err := n.Write(&b); err != nil {
		t.Fatal(err)
	}
	again, err := decode(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	var c bytes.Buffer
	if err := again.Write(&c); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), c.Bytes()) {
		t.Fatal("the second trip changed the file")
	}
	shapes, err := n.Shapes(1)
	if err != nil {
		t.Fatal(err)
	}
	work := 0
	for _, s := range shapes {
		work += min(elements(s), 1<<20)
	}
	if work > 1<<16 {
		return
	}
	in := make([][]float32, len(n.Inputs))
	for i, x := range n.Inputs {
		in[i] = make([]float32, elements(shapes[x]))
	}
	for i := range n.Layers {
		if op, ok := n.Layers[i].Op.(Conv); ok && max(op.Pad[0], op.Pad[1], op.Pad[2], op.Pad[3]) > 64 {
			return // padded copies are work, too
		}
	}
	_, _ = n.Run(in...)
}
