package iscc

// dct replaces v by its cosine transform of type II, unscaled: v[k] = sum over i of v[i] cos(pi (i + 1/2) k / n).
// n = len(v) is a power of two up to 32, scratch has n elements.
//
// It is Lee's algorithm (IEEE Trans. ASSP 32, 1984), step by step as the reference does it: halves are added
// and subtracted, the difference is divided by twice the cosine, and each half is transformed by itself. Another
// way to the same sums rounds otherwise, and where a picture is flat or symmetric the bits of a code hang on
// rounding. No step multiplies, so nothing can be fused.
func dct(v, scratch []float64) {
	n := len(v)
	if n == 1 {
		return
	}
	half := n / 2
	even, odd := scratch[:half], scratch[half:n]
	for i := range half {
		a, b := v[i], v[n-1-i]
		even[i] = a + b
		odd[i] = (a - b) / twiceCos[half+i]
	}
	dct(even, v[:half])
	dct(odd, v[half:])
	for i := range half - 1 {
		v[2*i] = even[i]
		v[2*i+1] = odd[i] + odd[i+1]
	}
	v[n-2], v[n-1] = even[half-1], odd[half-1]
}

// twiceCos[h+i] is 2 cos(pi (i + 1/2) / 2h), for h = 1, 2, 4, 8, 16 and i < h, as C's cos gives it. They are
// written out because cosines differ in the last bit from one library to another.
var twiceCos = [Side]float64{
	0,
	1.4142135623730951,
	1.8477590650225735, 0.7653668647301797,
	1.9615705608064609, 1.6629392246050905, 1.1111404660392046, 0.39018064403225666,
	1.9903694533443939, 1.9138806714644176, 1.76384252869671, 1.546020906725474, 1.268786568327291, 0.9427934736519956, 0.5805693545089247, 0.19603428065912154,
	1.9975909124103448, 1.978353019929562, 1.940062506389088, 1.8830881303660416, 1.8079785862468867, 1.7154572200005442, 1.6064150629612899, 1.4819022507099182,
	1.3431179096940367, 1.191398608984867, 1.0282054883864433, 0.8551101868605644, 0.6737797067844401, 0.48596035980652796, 0.2934609489107235, 0.09813534865483625,
}
