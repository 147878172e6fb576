package fakequant

// How does a kernel round as a site would?

// Tap is a pass of a [Site] taken apart, for a kernel that computes a tensor and
// rounds it while it is at it: per run it calls Look, then Range or Values if Look
// asks for that, then Params. The result is that of the site's own pass.
type Tap struct {
	s    *Site
	pass Pass
	lo   [1]float32
	hi   [1]float32
}

// Tap takes a pass apart. ok is false where only the pass itself will do: with several
// scales per tensor, with parameters that are those of each single tensor, and where
// parameters are learned.
func (s *Site) Tap(pass Pass) (t *Tap, ok bool) {
	q := s.q
	learned := q.Learned() && (pass == PassForward || pass == PassCalibrate)
	if q.spec.Granularity != PerTensor || learned || q.proto != nil && q.proto.Memoryless() {
		return nil, false
	}
	return &Tap{s: s, pass: pass}, true
}

// Look says whether the run that begins wants to see the bounds of the values, or the
// values themselves; at most one of the two.
func (t *Tap) Look() (bounds, values bool) {
	if observe, _ := t.s.does(t.pass); !observe || t.s.q.proto == nil {
		return false, false
	}
	_, bounds = t.s.obs.(RangeObserver)
	return bounds, !bounds
}

// Range shows the bounds of the tensor's values, lo <= hi, both finite. NaN and
// infinities among the values have to be shown to Values instead.
func (t *Tap) Range(lo, hi float32) error {
	t.lo[0], t.hi[0] = lo, hi
	return t.s.take(1, func(o Observer) error { return o.(RangeObserver).ObserveRange(t.lo[:], t.hi[:]) })
}

// Values shows the tensor itself, row-major with the given shape. Errors are those of
// [Site.Forward].
func (t *Tap) Values(x []float32, shape []int) error {
	l, err := t.s.layout(shape)
	if err != nil {
		return t.s.q.wrap(err)
	}
	return t.s.observe(x, l)
}

// Params returns what to quantize with; ok is false where values pass as they are.
// The caller must not change them.
func (t *Tap) Params() (p Params, ok bool, err error) {
	t.s.passes++
	if _, quantize := t.s.does(t.pass); !quantize {
		t.s.used = nil
		return Params{}, false, nil
	}
	cur, err := t.s.q.current()
	if err != nil {
		return Params{}, false, err
	}
	if cur == nil {
		_, err := t.s.q.Params() // says why
		return Params{}, false, err
	}
	t.s.used = cur
	t.s.own.forget()
	return *cur, true, nil
}
