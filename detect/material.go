package detect

import (
	"image"

	"github.com/filigrane/filigrane/internal/signal"
)

// Parameters of the residual: what is left of a picture when its content is taken out. They depend on no
// key, so they cost no trials.
const (
	meanRadius  = 5   // samples: box whose mean is the content
	devRadius   = 8   // samples: box over which the residual is brought to unit deviation
	devFloor    = 5   // 8-bit levels, so that flat areas are not blown up to noise
	clipAt      = 3.0 // deviations
	halveChroma = 640 // short side, pixels, from which chroma is read at half resolution
)

// material is one picture reduced to residual planes.
type material struct {
	w, h      int
	planes    [signal.Channels]*signal.Plane // nil where there is no chroma
	deviation [signal.Channels]float64       // harmonic mean of the local deviation, 8-bit levels
	half      bool                           // chroma planes are at half resolution

	at           image.Rectangle // a piece: where it was cut from
	fromX, fromY float64         // and its centre from the whole picture's, in pixels
}

func newMaterial(img image.Image) *material {
	split := signal.LumaChroma
	half := min(img.Bounds().Dx(), img.Bounds().Dy()) >= halveChroma
	if half {
		split = signal.LumaHalfChroma
	}
	y, cb, cr := split(img)
	m := &material{w: y.W, h: y.H, planes: [signal.Channels]*signal.Plane{y, cb, cr}, half: half && cb != nil}
	for ch, p := range m.planes {
		if p == nil {
			continue
		}
		scale := 1
		if m.half && ch != signal.Y {
			scale = 2
		}
		m.deviation[ch] = signal.Residual(p, meanRadius/scale+scale/2, devRadius/scale, devFloor, clipAt)
	}
	return m
}

// geometry places cells on a channel's plane.
func (m *material) geometry(channel int, f frame) signal.Geometry {
	if channel == signal.Y || !m.half {
		return signal.Geometry{XX: f.xx, XY: f.xy, YX: f.yx, YY: f.yy}
	}
	g := signal.Geometry{XX: 2 * f.xx, XY: 2 * f.xy, YX: 2 * f.yx, YY: 2 * f.yy}
	if m.w%2 == 1 {
		g.OffX = -0.25
	}
	if m.h%2 == 1 {
		g.OffY = -0.25
	}
	return g
}
