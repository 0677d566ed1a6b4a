// Package calibration holds the detector's claims against what it does where nothing is to be found, and
// measures how weak a mark it still finds.
package calibration

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"image"

	"github.com/disintegration/imaging"

	"github.com/filigrane/filigrane/embed"
	"github.com/filigrane/filigrane/internal/attack"
	"github.com/filigrane/filigrane/mark"
)

// Loader gives a picture when its turn comes.
type Loader func() (image.Image, error)

// Material is a kind of pictures that carry no mark of the keys they are read with.
type Material struct {
	Name  string
	About string
	Hosts []Host
}

// Host is one picture and the resolution R it is read at.
type Host struct {
	Resolution int
	Load       Loader
}

// Materials returns the five kinds of pictures that the claim is held against. Photographs are cut to the
// centre square of 1,024 pixels; generated pictures are read at their own size, that of their delivery.
func Materials(photos, generated []Loader, seed uint64) []Material {
	square := func(load Loader, then func(*image.NRGBA, int) (image.Image, error)) func(int) Host {
		return func(i int) Host {
			return Host{1024, func() (image.Image, error) {
				img, err := load()
				if err != nil {
					return nil, err
				}
				return then(imaging.Fill(img, 1024, 1024, imaging.Center, imaging.Lanczos), i)
			}}
		}
	}
	all := []Material{
		{Name: "photographs", About: "centre squares of 1,024 px"},
		{Name: "generated", About: "outputs of the lab's models, read with keys other than their delivery's"},
		{Name: "flat graphics", About: "text, line art, flat logo and gradient, drawn in code, 512 px"},
		{Name: "marked with another key", About: "the photographs, marked at 42 dB with a key of another bank"},
		{Name: "JPEG grid", About: "the photographs after JPEG quality 30, and as means of blocks of 8 x 8 px"},
	}
	same := func(p *image.NRGBA, _ int) (image.Image, error) { return p, nil }
	for i, load := range photos {
		all[0].Hosts = append(all[0].Hosts, square(load, same)(i))
		all[3].Hosts = append(all[3].Hosts, square(load, func(p *image.NRGBA, i int) (image.Image, error) { return foreign(p, seed, i) })(i))
		all[4].Hosts = append(all[4].Hosts, square(load, grid)(i))
	}
	for _, load := range generated {
		all[1].Hosts = append(all[1].Hosts, Host{128, load})
	}
	for v := range uint64(4) {
		for _, img := range Graphics(seed<<8 | v) {
			all[2].Hosts = append(all[2].Hosts, Host{graphicsSide, func() (image.Image, error) { return img, nil }})
		}
	}
	return all
}

// grid gives every second picture the grid of a strong JPEG, and the others a harder one.
func grid(p *image.NRGBA, i int) (image.Image, error) {
	if i%2 == 1 {
		return mosaic(p), nil
	}
	for _, e := range attack.Ladder() {
		if e.Name == "jpeg30" {
			return e.Apply(p, 0), nil
		}
	}
	panic("calibration: no edit jpeg30")
}

// foreign marks a picture with a key that no reading uses.
func foreign(p *image.NRGBA, seed uint64, i int) (image.Image, error) {
	books := mark.NewBooks(mark.Profile1(), key(seed, "foreign", i, 0).Keys())
	cell := mark.NewCell(mark.Profile1(), books, mark.Names{Concepts: []int{1 + i}, Work: 1 + i})
	out, _, err := embed.Mark(p, cell, embed.Options{PSNRDB: 42, Resolution: 1024})
	if err != nil {
		return nil, fmt.Errorf("calibration: a photograph cannot be marked: %w", err)
	}
	return out, nil
}

// key draws a fresh key for each purpose, picture and test: SHA-256 of all that.
func key(seed uint64, purpose string, picture, test int) mark.Key {
	text := []byte("filigrane bench calibrate " + purpose + "\x00")
	for _, v := range []uint64{seed, uint64(picture), uint64(test)} {
		text = binary.BigEndian.AppendUint64(text, v)
	}
	secret := sha256.Sum256(text)
	k, err := mark.NewKey(secret[:])
	if err != nil {
		panic("calibration: " + err.Error())
	}
	return k
}
