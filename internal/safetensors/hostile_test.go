package safetensors

import (
	"encoding/binary"
	"errors"
	"math"
	"runtime"
	"strings"
	"testing"
)

// entryA is a good entry of one byte.
const entryA = `"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}`

// headerLength is a file that claims a header of n bytes and has the given rest.
func headerLength(n uint64, rest string) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, n), rest...)
}

// withA is a file whose only tensor is a, with the given entry and data.
func withA(entry, data string) []byte { return build(`{"a":`+entry+`}`, data) }

// hostile holds files that Read refuses, with what the error says.
var hostile = []struct {
	name string
	file []byte
	want string
}{
	// The frame.
	{"empty file", nil, `file has 0 bytes: the header's length alone takes 8`},
	{"seven bytes", []byte("1234567"), `file has 7 bytes`},
	{"no header", headerLength(0, ""), `header does not begin with {`},
	{"header runs past the end", headerLength(3, "{}"), `header of 3 bytes runs past the end of a file of 10 bytes: truncated?`},
	{"header above the limit", headerLength(MaxHeader+1, "{}"), `header of 100000001 bytes: want at most 100000000`},
	{"header at the limit, file short", headerLength(MaxHeader, "{}"), `header of 100000000 bytes runs past the end`},
	{"header length negative as int64", headerLength(math.MaxUint64, "{}"), `header of 18446744073709551615 bytes: want at most`},
	{"header length wraps with 8 added", headerLength(math.MaxUint64-7, "{}"), `want at most`},
	{"not safetensors at all", []byte("PK\x03\x04 a zip file, say"), `want at most 100000000 (is this a safetensors file?)`},
	// JSON.
	{"space before the header", build(` {}`, ""), `header does not begin with {`},
	{"array", build(`[]`, ""), `header does not begin with {`},
	{"cut JSON", build(`{"a":`, ""), `header is not JSON, byte 5: unexpected end of JSON input`},
	{"trailing comma", build(`{`+entryA+`,}`, "x"), `header is not JSON, byte 54: invalid character '}'`},
	{"two values", build(`{}{}`, ""), `header is not JSON, byte 3: invalid character '{' after top-level value`},
	{"NUL padding", build("{}\x00", ""), `header is not JSON, byte 3`},
	{"deep nesting", build(`{"a":`+strings.Repeat("[", 20_000), ""), `header is not JSON, byte 10005: `},
	{"invalid UTF-8", build("{\"\xff\":1}", ""), `header is not valid UTF-8`},
	{"overlong UTF-8", build("{\"\xc0\x80\":1}", ""), `header is not valid UTF-8`},
	{"lone high surrogate", build(`{"\ud800":1}`, ""), `byte 2 holds half of a surrogate pair`},
	{"lone low surrogate", build(`{"\udc00":1}`, ""), `half of a surrogate pair`},
	{"two high surrogates", build(`{"\ud800\ud800":1}`, ""), `half of a surrogate pair`},
	{"high surrogate, then an escape", build(`{"\ud800\n":1}`, ""), `half of a surrogate pair`},
	// Keys.
	{"tensor twice", build(`{`+entryA+`,`+entryA+`}`, "x"), `header has the key "a" twice`},
	{"tensor twice, once escaped", build(`{`+entryA+`,"\u0061":{}}`, "x"), `header has the key "a" twice`},
	{"metadata twice", build(`{"__metadata__":{},"__metadata__":{}}`, ""), `header has the key "__metadata__" twice`},
	{"metadata key twice", build(`{"__metadata__":{"k":"1","k":"2"}}`, ""), `__metadata__ has the key "k" twice`},
	{"dtype twice", withA(`{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}`, "x"), `tensor "a" has the key "dtype" twice`},
	{"unknown key", withA(`{"dtype":"U8","shape":[1],"data_offsets":[0,1],"stride":[1]}`, "x"), `tensor "a": unknown key "stride": want dtype, shape and data_offsets`},
	{"no dtype", withA(`{"shape":[1],"data_offsets":[0,1]}`, "x"), `tensor "a": key dtype is missing`},
	{"no shape", withA(`{"dtype":"U8","data_offsets":[0,1]}`, "x"), `tensor "a": key shape is missing`},
	{"no offsets", withA(`{"dtype":"U8","shape":[1]}`, "x"), `tensor "a": key data_offsets is missing`},
	// Types.
	{"tensor null", withA(`null`, ""), `tensor "a" is null: want an object`},
	{"tensor a number", withA(`1`, ""), `tensor "a" is the number 1: want an object`},
	{"tensor a list", withA(`[]`, ""), `tensor "a" is a list: want an object`},
	{"metadata null", build(`{"__metadata__":null}`, ""), `__metadata__ is null: want an object`},
	{"metadata value a number", build(`{"__metadata__":{"k":1}}`, ""), `__metadata__ "k" is the number 1: want a text`},
	{"metadata value null", build(`{"__metadata__":{"k":null}}`, ""), `__metadata__ "k" is null: want a text`},
	{"metadata nested", build(`{"__metadata__":{"k":{}}}`, ""), `__metadata__ "k" is an object: want a text`},
	{"dtype a number", withA(`{"dtype":8,"shape":[1],"data_offsets":[0,1]}`, "x"), `tensor "a": dtype is the number 8: want a text`},
	{"dtype unknown", withA(`{"dtype":"I4","shape":[1],"data_offsets":[0,1]}`, "x"), `tensor "a": unknown dtype "I4"`},
	{"dtype in lower case", withA(`{"dtype":"u8","shape":[1],"data_offsets":[0,1]}`, "x"), `unknown dtype "u8"`},
	{"shape a number", withA(`{"dtype":"U8","shape":1,"data_offsets":[0,1]}`, "x"), `tensor "a": shape is the number 1: want a list`},
	{"shape null", withA(`{"dtype":"U8","shape":null,"data_offsets":[0,1]}`, "x"), `tensor "a": shape is null: want a list`},
	{"dimension a text", withA(`{"dtype":"U8","shape":["1"],"data_offsets":[0,1]}`, "x"), `shape holds the text "1": want whole numbers`},
	{"dimension a list", withA(`{"dtype":"U8","shape":[[1]],"data_offsets":[0,1]}`, "x"), `shape holds a list: want whole numbers`},
	{"dimension true", withA(`{"dtype":"U8","shape":[true],"data_offsets":[0,1]}`, "x"), `shape holds true: want whole numbers`},
	// Numbers.
	{"dimension negative", withA(`{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}`, "x"), `shape holds the number -1: want whole numbers from 0`},
	{"dimension minus zero", withA(`{"dtype":"U8","shape":[-0],"data_offsets":[0,0]}`, ""), `shape holds the number -0`},
	{"dimension a fraction", withA(`{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}`, "x"), `shape holds the number 1.0`},
	{"dimension with exponent", withA(`{"dtype":"U8","shape":[1e0],"data_offsets":[0,1]}`, "x"), `shape holds the number 1e0`},
	{"dimension beyond int64", withA(`{"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,1]}`, "x"), `shape holds the number 9223372036854775808`},
	{"dimension of a thousand digits", withA(`{"dtype":"U8","shape":[`+strings.Repeat("9", 1000)+`],"data_offsets":[0,1]}`, "x"), `shape holds the number ` + strings.Repeat("9", 60) + `…`},
	{"offset negative", withA(`{"dtype":"U8","shape":[1],"data_offsets":[-1,0]}`, "x"), `data_offsets holds the number -1`},
	{"offset beyond int64", withA(`{"dtype":"U8","shape":[1],"data_offsets":[0,18446744073709551616]}`, "x"), `data_offsets holds the number 18446744073709551616`},
	{"one offset", withA(`{"dtype":"U8","shape":[1],"data_offsets":[0]}`, "x"), `data_offsets has 1 numbers: want begin and end`},
	{"three offsets", withA(`{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}`, "x"), `data_offsets has 3 numbers`},
	// Sizes.
	{"product overflows", withA(`{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}`, ""), `shape [4294967296 4294967296] of U8 is too large: its size overflows`},
	{"product overflows to the right size", withA(`{"dtype":"U8","shape":[9223372036854775807,9223372036854775807],"data_offsets":[0,1]}`, "x"), `its size overflows`},
	{"bits overflow", withA(`{"dtype":"F64","shape":[288230376151711744],"data_offsets":[0,0]}`, ""), `its size overflows`},
	{"odd half byte", withA(`{"dtype":"F4","shape":[3],"data_offsets":[0,2]}`, "xx"), `shape [3] of F4 takes 12 bits: want whole bytes`},
	{"offsets swapped", withA(`{"dtype":"U8","shape":[1],"data_offsets":[1,0]}`, "x"), `data_offsets [1, 0) for U8 of shape [1], which takes 1 bytes`},
	{"offsets too short", withA(`{"dtype":"F32","shape":[2],"data_offsets":[0,4]}`, "1234"), `data_offsets [0, 4) for F32 of shape [2], which takes 8 bytes`},
	{"offsets too long", withA(`{"dtype":"U8","shape":[],"data_offsets":[0,2]}`, "12"), `for U8 of shape [], which takes 1 bytes`},
	// Places.
	{"data truncated", withA(`{"dtype":"U8","shape":[2],"data_offsets":[0,2]}`, "x"), `tensor "a" ends at 2, but there are 1 bytes of data: truncated?`},
	{"huge tensor in a small file", withA(`{"dtype":"U8","shape":[1000000000000000000],"data_offsets":[0,1000000000000000000]}`, "x"), `ends at 1000000000000000000, but there are 1 bytes of data`},
	{"bytes behind", build(`{`+entryA+`}`, "xyz"), `2 bytes after the last tensor`},
	{"bytes without tensors", build(`{}`, "x"), `1 bytes after the last tensor`},
	{"hole at the start", withA(`{"dtype":"U8","shape":[1],"data_offsets":[1,2]}`, "xy"), `hole of 1 bytes before tensor "a", which begins at 1`},
	{"hole in between", build(`{`+entryA+`,"b":{"dtype":"U8","shape":[1],"data_offsets":[3,4]}}`, "wxyz"), `hole of 2 bytes before tensor "b"`},
	{"overlap", build(`{`+entryA+`,"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}`, "xy"), `tensor "b" begins at 0, inside the tensor that ends at 1`},
	{"same place", build(`{`+entryA+`,"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, "x"), `tensor "b" begins at 0, inside the tensor that ends at 1`},
	{"empty tensor outside", build(`{"a":{"dtype":"U8","shape":[0],"data_offsets":[5,5]}}`, ""), `hole of 5 bytes before tensor "a"`},
}

func TestReadHostile(t *testing.T) {
	for _, tc := range hostile {
		f, err := open(tc.file)
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error\n  %v\nlacks\n  %s", tc.name, err, tc.want)
		}
		if f != nil {
			t.Errorf("%s: a file came with the error", tc.name)
		}
	}
}

// Every cut of a good file is refused, and so is a byte too many.
func TestReadTruncated(t *testing.T) {
	whole := write(t, sample(), map[string]string{"k": "v"})
	for n := range whole {
		if _, err := open(whole[:n]); !errors.Is(err, ErrFormat) {
			t.Fatalf("%d of %d bytes: %v", n, len(whole), err)
		}
	}
	if _, err := open(append(whole, 0)); !errors.Is(err, ErrFormat) {
		t.Errorf("one byte more: %v", err)
	}
}

// Claims alone allocate nothing: the sizes here are far beyond any machine.
func TestReadClaimsAreNotBelieved(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, file := range [][]byte{
		headerLength(MaxHeader, "{}"),
		headerLength(math.MaxUint64, "{}"),
		withA(`{"dtype":"U8","shape":[1000000000000],"data_offsets":[0,1000000000000]}`, "x"),
	} {
		if _, err := open(file); err == nil {
			t.Fatal("accepted")
		}
	}
	runtime.ReadMemStats(&after)
	const limit = 1 << 20 // the smallest claim is 100 times as much
	if n := after.TotalAlloc - before.TotalAlloc; n > limit {
		t.Errorf("%d bytes allocated, want at most %d", n, limit)
	}
}

// A long name or list is not repeated at length.
func TestErrorsAreShort(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	dims := strings.Repeat("1,", 100_000) + "1"
	for _, file := range [][]byte{
		build(`{"`+long+`":1}`, ""),
		build(`{"__metadata__":{"`+long+`":1}}`, ""),
		withA(`{"dtype":"`+long+`","shape":[],"data_offsets":[0,1]}`, "x"),
		withA(`{"dtype":"U8","shape":["`+long+`"],"data_offsets":[0,1]}`, "x"),
		withA(`{"dtype":"U8","shape":[`+dims+`],"data_offsets":[0,2]}`, "xy"),
		withA(`{"`+long+`":1}`, ""),
	} {
		const limit = 1000 // far below the 100,000 letters of the input
		if _, err := open(file); err == nil || len(err.Error()) > limit {
			t.Errorf("%.60q: error of %d bytes, want 1 to %d", file, len(err.Error()), limit)
		}
	}
}
