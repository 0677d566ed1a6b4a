package delivery

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"image"
	"io"

	"github.com/filigrane/filigrane/internal/raster"
	"github.com/filigrane/filigrane/internal/store"
)

// Host gives the picture that a master becomes before it is marked: what a delivered file is compared with.
func (g Geometry) Host(master *raster.Picture, f Format) (image.Image, error) {
	host, _, ref := g.apply(master.Image, keepsDepth(f.EncodeOptions(master.Format)))
	if ref != nil {
		return nil, fmt.Errorf("delivery: %s: %s", ref.kind, ref.detail)
	}
	return host, nil
}

// EachImage reads the images of a delivery in the order of its shards. It stops at do's first error. It compares no
// hashes: see Verify.
func EachImage(ctx context.Context, st store.Store, m *Manifest, do func(img *Image, file []byte) error) error {
	first := 0
	for _, s := range m.Shards {
		byName := make(map[string]*Image, s.Images) // images fill one shard after the other
		for i := range m.Images[first : first+s.Images] {
			img := &m.Images[first+i]
			byName[img.Key+"."+img.Extension] = img
		}
		first += s.Images
		if err := eachMember(ctx, st, s.Name, func(name string, file []byte) error {
			if img, ok := byName[name]; ok {
				return do(img, file)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

func eachMember(ctx context.Context, st store.Store, shard string, do func(name string, file []byte) error) error {
	r, err := st.Open(ctx, shard)
	if err != nil {
		return fmt.Errorf("delivery: %w", err)
	}
	defer r.Close()
	archive, done, err := unpacked(shard, r)
	if err != nil {
		return err
	}
	defer done()
	for t := tar.NewReader(archive); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("delivery: shard %s: %w", shard, err)
		}
		file, err := io.ReadAll(t)
		if err != nil {
			return fmt.Errorf("delivery: shard %s: %w", shard, err)
		}
		if err := do(h.Name, file); err != nil {
			return err
		}
	}
}
