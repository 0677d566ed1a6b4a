package detect

import (
	"math"

	"github.com/filigrane/filigrane/internal/signal"
	"github.com/filigrane/filigrane/mark"
)

const (
	n  = signal.FoldSize
	nn = n * n
	// A plane is folded in blocks so that the spread between blocks tells how noisy each harmonic is.
	lumaGroups   = 4 // a side
	chromaGroups = 2
)

// spectrum is what one or several pictures fold to in one frame: for every channel and harmonic
// (ky mod n)*n + kx mod n, the Fourier sum relative to the picture's centre and the variance of its noise.
type spectrum struct {
	has     [signal.Channels]bool
	sum     [signal.Channels][]complex128
	noise   [signal.Channels][]float64
	nyquist [signal.Channels]float64 // harmonics beyond it along an axis are not in the samples
	levels  [signal.Channels]float64 // what one unit of sum is worth in 8-bit levels
	// u is the vector the statistic is made of: sum / noise, weighted. weight and snr are per harmonic.
	u      [signal.Channels][]complex128
	weight [signal.Channels][]float64
	snr    [signal.Channels][]float64
	blocks []block // luma of a single picture
}

// folder folds pictures. It holds scratch space for one goroutine.
type folder struct {
	fft     *signal.FFT2
	bins    []float32
	pair    []complex128
	wideFFT *signal.FFT2 // made when first needed
	twist   []complex128 // bin b is centred at (b + 1/2)/n: this turns phases back to the centre
}

func newFolder() *folder {
	return &folder{fft: signal.NewFFT2(n), bins: make([]float32, lumaGroups*lumaGroups*nn), pair: make([]complex128, nn), twist: newTwist()}
}

func newTwist() []complex128 {
	twist := make([]complex128, nn)
	for ky := -n / 2; ky < n/2; ky++ {
		for kx := -n / 2; kx < n/2; kx++ {
			twist[index(kx, ky)] = turn(-0.5 * float64(kx+ky) / n)
		}
	}
	return twist
}

// wide returns a transform of the size of a comb's windows.
func (f *folder) wide() *signal.FFT2 {
	if f.wideFFT == nil {
		f.wideFFT = signal.NewFFT2(combSize)
	}
	return f.wideFFT
}

// fold adds up the pictures, each in its own frame, and weighs the harmonics.
func (f *folder) fold(ms []*material, frames []frame, lumaOnly bool) *spectrum {
	s := &spectrum{}
	for i, m := range ms {
		for ch, p := range m.planes {
			if p == nil || lumaOnly && ch != signal.Y {
				continue
			}
			g := m.geometry(ch, frames[i])
			if !s.has[ch] {
				s.has[ch], s.sum[ch], s.noise[ch], s.nyquist[ch] = true, make([]complex128, nn), make([]float64, nn), n
			}
			s.nyquist[ch] = math.Min(s.nyquist[ch], frame{g.XX, g.XY, g.YX, g.YY}.cell()*0.49)
			s.levels[ch] += m.deviation[ch] * 2 / float64(len(p.Pix)) / float64(len(ms)*len(ms))
			groups := chromaGroups
			if ch == signal.Y {
				groups = lumaGroups
			}
			parts := f.add(s.sum[ch], s.noise[ch], p, g, groups)
			if ch == signal.Y && len(ms) == 1 {
				s.blocks = blocksOf(p, parts, groups)
			}
		}
	}
	s.weigh()
	return s
}

// blocksOf says where the parts of a plane lie.
func blocksOf(p *signal.Plane, parts [][]complex128, groups int) []block {
	bs := make([]block, len(parts))
	middle := func(k, size int) float64 {
		return float64(k*size/groups+(k+1)*size/groups)/2 - float64(size)/2
	}
	for i, z := range parts {
		bs[i] = block{middle(i%groups, p.W), middle(i/groups, p.H), z}
	}
	return bs
}

// plain folds the luma of a picture and returns the Fourier sums relative to its centre, valid until the next call.
func (f *folder) plain(m *material, fr frame) []complex128 {
	signal.Fold(f.bins[:nn], m.planes[signal.Y], m.geometry(signal.Y, fr), 1)
	for i := range f.pair {
		f.pair[i] = complex(float64(f.bins[i]), 0)
	}
	f.fft.Forward(f.pair)
	for i := range f.pair {
		f.pair[i] *= f.twist[i]
	}
	return f.pair
}

// add folds one plane into the sum of its channel and the variance of that sum, and returns the transforms of its
// parts.
func (f *folder) add(sum []complex128, noise []float64, p *signal.Plane, g signal.Geometry, groups int) [][]complex128 {
	blocks := groups * groups
	bins := f.bins[:blocks*nn]
	signal.Fold(bins, p, g, groups)
	parts := make([][]complex128, 0, blocks)
	for b := 0; b < blocks; b += 2 { // two real blocks in one complex transform
		first, second := bins[b*nn:(b+1)*nn], bins[(b+1)*nn:(b+2)*nn]
		for i := range f.pair {
			f.pair[i] = complex(float64(first[i]), float64(second[i]))
		}
		f.fft.Forward(f.pair)
		a, c := make([]complex128, nn), make([]complex128, nn)
		for ky := 0; ky < n; ky++ {
			for kx := 0; kx < n; kx++ {
				i, j := ky*n+kx, (n-ky)%n*n+(n-kx)%n
				z, w := f.pair[i], conj(f.pair[j])
				a[i] = (z + w) / 2
				c[i] = complex(0, -0.5) * (z - w)
			}
		}
		parts = append(parts, a, c)
	}
	scatter := make([]float64, nn)
	for i := range sum {
		mean := complex(0, 0)
		for _, part := range parts {
			mean += part[i]
		}
		sum[i] += mean * f.twist[i]
		mean /= complex(float64(blocks), 0)
		spread := 0.0
		for _, part := range parts {
			spread += power(part[i] - mean)
		}
		scatter[i] = spread * float64(blocks) / float64(blocks-1)
	}
	smooth(noise, scatter)
	return parts
}

// smooth adds to dst the mean of src over each harmonic's 3 x 3 neighbours and their mirror images: the
// noise of a residual has no sharp lines and no handedness.
func smooth(dst, src []float64) {
	for ky := 0; ky < n; ky++ {
		for kx := 0; kx < n; kx++ {
			s := 0.0
			for dy := n - 1; dy <= n+1; dy++ {
				row := (ky + dy) % n * n
				mirror := (2*n - ky - dy + n) % n * n
				for dx := n - 1; dx <= n+1; dx++ {
					s += src[row+(kx+dx)%n] + src[mirror+(kx+dx)%n]
				}
			}
			dst[ky*n+kx] += s / 18
		}
	}
}

// bandWidth is the width, in harmonic numbers, of the rings over which the strength of whatever repeats
// is estimated.
const bandWidth = 4

// weigh turns sums into u. Within each channel, lattice and ring the mean of |sum|^2/noise, less the 1
// that noise alone gives, estimates the power that repeats from cell to cell; a wave of signal-to-noise
// power q then gets the weight that makes T largest, sqrt(q)/(1+q) per unit of noise. All of this depends
// on the material only: it costs no trials.
func (s *spectrum) weigh() {
	var ref [mark.Lattices]float64
	for ch := range s.sum {
		if !s.has[ch] {
			continue
		}
		bands := s.bands(ch)
		if ch == signal.Y {
			ref = bands.strongest(s.levels[ch])
		}
		s.u[ch], s.weight[ch], s.snr[ch] = make([]complex128, nn), make([]float64, nn), make([]float64, nn)
		for ky := -n/2 + 1; ky < n/2; ky++ {
			for kx := -n/2 + 1; kx < n/2; kx++ {
				if math.Abs(float64(kx)) > s.nyquist[ch] || math.Abs(float64(ky)) > s.nyquist[ch] {
					continue
				}
				i := index(kx, ky)
				if s.noise[ch][i] <= 0 {
					continue
				}
				q := bands.snr(kx, ky)
				s.snr[ch][i] = q
				sigma2 := s.noise[ch][i] / 2 * s.levels[ch] * s.levels[ch]
				r := ref[mark.LatticeOf(kx, ky)]
				g := math.Sqrt(math.Sqrt((q*sigma2 + sigma2) / (math.Max(q*sigma2, r) + sigma2)))
				s.weight[ch][i] = g * math.Sqrt(q) / (1 + q) / math.Sqrt(s.noise[ch][i]/2)
				s.u[ch][i] = limit(s.sum[ch][i], 3*math.Sqrt((1+q)*s.noise[ch][i])) * complex(s.weight[ch][i], 0)
			}
		}
	}
}

// limit shortens z to at most r: the lines of a JPEG grid or a halftone must not outvote the rest.
func limit(z complex128, r float64) complex128 {
	if p := power(z); p > r*r {
		return z * complex(r/math.Sqrt(p), 0)
	}
	return z
}

// strongest returns the largest power of a wave, in levels^2, over the rings of each lattice.
func (b *bands) strongest(levels float64) (ref [mark.Lattices]float64) {
	for l := range ref {
		for r, c := range b.count[l] {
			if c < 6 {
				continue
			}
			a := math.Max(b.sum[l][r]-c, 0) / c * b.noise[l][r] / c / 2 * levels * levels
			ref[l] = math.Max(ref[l], a)
		}
	}
	return ref
}

// bands holds the excess power of rings of harmonics, by lattice.
type bands struct {
	sum   [mark.Lattices][n/bandWidth + 1]float64
	count [mark.Lattices][n/bandWidth + 1]float64
	noise [mark.Lattices][n/bandWidth + 1]float64
	mean  [mark.Lattices]float64
}

func (s *spectrum) bands(ch int) *bands {
	b := &bands{}
	var total, count [mark.Lattices]float64
	for ky := 0; ky < n/2; ky++ {
		for kx := -n/2 + 1; kx < n/2; kx++ {
			r2 := kx*kx + ky*ky
			if ky == 0 && kx <= 0 || r2 < 9 || r2 > 24*24 || math.Abs(float64(kx)) > s.nyquist[ch] || float64(ky) > s.nyquist[ch] {
				continue
			}
			i := index(kx, ky)
			if s.noise[ch][i] <= 0 {
				continue
			}
			l, r := mark.LatticeOf(kx, ky), ring(kx, ky)
			e := math.Min(power(s.sum[ch][i])/s.noise[ch][i], 1e4)
			b.sum[l][r] += e
			b.count[l][r]++
			b.noise[l][r] += s.noise[ch][i]
			total[l] += e
			count[l]++
		}
	}
	for l := range b.mean {
		b.mean[l] = math.Max(total[l]/math.Max(1, count[l])-1, 0.02)
	}
	return b
}

// snr returns the estimated signal-to-noise power of a harmonic: its ring's excess, drawn towards the mean of
// its lattice with the weight of ten harmonics where there is little of it, less where it speaks for itself.
func (b *bands) snr(kx, ky int) float64 {
	const prior = 10
	l, r := mark.LatticeOf(kx, ky), ring(kx, ky)
	if b.count[l][r] == 0 {
		return b.mean[l]
	}
	excess := math.Max(b.sum[l][r]/b.count[l][r]-1, 0)
	weight := prior / (1 + excess)
	return (excess*b.count[l][r] + weight*b.mean[l]) / (b.count[l][r] + weight)
}

func ring(kx, ky int) int { return int(math.Sqrt(float64(kx*kx+ky*ky)) / bandWidth) }

func index(kx, ky int) int { return (ky+n)%n*n + (kx+n)%n }

func power(z complex128) float64 { return float64(real(z)*real(z)) + float64(imag(z)*imag(z)) }

// turn returns exp(2 pi i t).
func turn(t float64) complex128 {
	c, s := signal.CosSinTurns(t)
	return complex(c, s)
}

func conj(z complex128) complex128 { return complex(real(z), -imag(z)) }
