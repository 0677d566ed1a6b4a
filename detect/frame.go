package detect

import (
	"math"

	"github.com/filigrane/filigrane/mark"
)

// frame is the linear part of an alignment, cells a pixel: the pixel x to the right of the picture's centre and
// y below it lies xx x + xy y cells to the right of the pattern's and yx x + yy y below, but for a shift.
type frame struct{ xx, xy, yx, yy float64 }

// square is the frame of upright square cells of a length in pixels.
func square(cell float64) frame { return frame{xx: 1 / cell, yy: 1 / cell} }

// shaped returns the frame of a picture that was enlarged scale*sqrt(aspect) times across and
// scale/sqrt(aspect) times down, from cells of 64 pixels, and then turned counter-clockwise by an angle in radians.
func shaped(scale, angle, aspect float64) frame {
	sin, cos := math.Sincos(angle)
	wide, high := 1/(mark.CellSize*scale*math.Sqrt(aspect)), math.Sqrt(aspect)/(mark.CellSize*scale)
	return frame{xx: cos * wide, xy: -sin * wide, yx: sin * high, yy: cos * high}
}

// cell returns the length of a square cell of the same area, in pixels.
func (f frame) cell() float64 { return 1 / math.Sqrt(math.Abs(float64(f.xx*f.yy)-float64(f.xy*f.yx))) }

// shape takes a frame apart as shaped puts it together, leaving a small shear aside: the angle in radians and the aspect.
func (f frame) shape() (angle, aspect float64) {
	angle = math.Atan2(f.yx-f.xy, f.xx+f.yy)
	return angle, math.Hypot(f.yx, f.yy) / math.Hypot(f.xx, f.xy)
}

// plus adds the entries of two frames.
func (f frame) plus(g frame) frame {
	return frame{f.xx + g.xx, f.xy + g.xy, f.yx + g.yx, f.yy + g.yy}
}
