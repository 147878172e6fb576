package kern

// What must a tile compute? The oracle of the assembly.

import "unsafe"

// tileGo is a micro kernel in portable Go: what the assembly must compute, bit for
// bit. It is as slow as it is plain.
func tileGo(kind tileKind, rows, vectors int, t *tileArgs) {
	for i := range rows {
		for v := range vectors {
			for l := range tileLanes {
				segment := 2 * v
				if t.m[segment+1]>>l&1 != 0 {
					segment++ // the second one wins
				} else if t.m[segment]>>l&1 == 0 {
					continue
				}
				a := unsafe.Add(t.a, i*t.rs)
				b := unsafe.Add(t.b[segment], 4*l)
				c := unsafe.Add(t.c, i*t.ldc+4*(tileLanes*v+l))
				if kind == tileFloat {
					t.floatGo((*float32)(c), a, b, i)
				} else {
					t.intGo(kind, (*int32)(c), a, b)
				}
			}
		}
	}
}

func (t *tileArgs) floatGo(c *float32, a, b unsafe.Pointer, row int) {
	offA, offB := unsafe.Slice(t.offA, t.k), unsafe.Slice(t.offB, t.k)
	var s float32
	for k := range t.k {
		s = fma32(*(*float32)(unsafe.Add(a, offA[k])), *(*float32)(unsafe.Add(b, offB[k])), s)
	}
	if t.add != 0 {
		s = *c + s
	}
	if t.bias != nil {
		s += *(*float32)(unsafe.Add(t.bias, 4*row))
	}
	*c = s
}

func (t *tileArgs) intGo(kind tileKind, c *int32, a, b unsafe.Pointer) {
	offA, offB := unsafe.Slice(t.offA, t.k), unsafe.Slice(t.offB, t.k)
	var s int32
	for k := range t.k {
		x, y := unsafe.Add(a, offA[k]), unsafe.Add(b, offB[k])
		switch kind {
		case tileUintB:
			s += dot4(*(*[4]uint8)(y), *(*[4]int8)(x))
		case tileUintA:
			s += dot4(*(*[4]uint8)(x), *(*[4]int8)(y))
		default:
			p, q := *(*[2]int16)(x), *(*[2]int16)(y)
			s += int32(p[0])*int32(q[0]) + int32(p[1])*int32(q[1])
		}
	}
	if t.add != 0 {
		s += *c
	}
	*c = s
}

func dot4(u [4]uint8, s [4]int8) (sum int32) {
	for i := range u {
		sum += int32(u[i]) * int32(s[i])
	}
	return sum
}
