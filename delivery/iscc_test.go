package delivery

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/filigrane/filigrane/internal/raster"
	"github.com/filigrane/filigrane/iscc"
)

// checkISCC compares the codes of an image with those of the file delivered.
func checkISCC(t *testing.T, img *Image, file []byte) {
	t.Helper()
	p, err := raster.Decode(file, raster.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if got := iscc.ImageCode(p.Image, iscc.DefaultBits); got != img.ISCCImage {
		t.Errorf("%s: Image-Code %v, the manifest says %v", img.SourcePath, got, img.ISCCImage)
	}
	if got, err := iscc.InstanceCode(bytes.NewReader(file)); err != nil || got != img.ISCCInstance {
		t.Errorf("%s: Instance-Code %v, %v, the manifest says %v", img.SourcePath, got, err, img.ISCCInstance)
	}
}

// checkVerifyISCC: codes of other pictures in a manifest are seen, and a manifest without codes is read as ever.
func checkVerifyISCC(t *testing.T, d *Delivery, spec Spec, folder string) {
	t.Helper()
	again := func(change func(m *Manifest), opt VerifyOptions) *Verification {
		to := t.TempDir()
		if err := os.CopyFS(to, os.DirFS(folder)); err != nil {
			t.Fatal(err)
		}
		m := *d.Manifest
		m.Images = append([]Image(nil), m.Images...)
		change(&m)
		text, err := m.MarshalText()
		if err == nil {
			err = os.WriteFile(filepath.Join(to, ManifestKey), text, 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
		v, err := Verify(context.Background(), openStore(t, to), opt)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	swap := func(m *Manifest) {
		a, b := &m.Images[0], &m.Images[1]
		a.ISCCInstance, b.ISCCInstance = b.ISCCInstance, a.ISCCInstance
	}
	if v := again(swap, VerifyOptions{}); len(v.Differences) != 2 || v.Differences[0].Kind != ISCCDiffers || v.Differences[1].Kind != ISCCDiffers {
		t.Errorf("swapped Instance-Codes: %+v", v.Differences)
	}
	other := func(m *Manifest) { m.Images[0].ISCCImage = iscc.ImageCodeOf(iscc.Pixels{}, iscc.DefaultBits) }
	if v := again(other, VerifyOptions{Keys: &spec.Keys, Sample: 1}); len(v.Differences) != 1 || v.Differences[0].Kind != ISCCDiffers {
		t.Errorf("another Image-Code: %+v", v.Differences)
	}
	none := func(m *Manifest) {
		for i := range m.Images {
			m.Images[i].ISCCImage, m.Images[i].ISCCInstance = iscc.Code{}, iscc.Code{}
		}
	}
	if v := again(none, VerifyOptions{Keys: &spec.Keys, Sample: 1}); !v.OK() {
		t.Errorf("without codes: %+v", v.Differences)
	}
}

// TestManifestISCC: both codes, of the right kinds and lengths, or neither.
func TestManifestISCC(t *testing.T) {
	image64, image128, instance := iscc.ImageCodeOf(iscc.Pixels{1}, 64), iscc.ImageCodeOf(iscc.Pixels{1}, 128), iscc.InstanceCodeOf([]byte("file"))
	for _, c := range []struct {
		image, instance iscc.Code
		ok              bool
	}{
		{iscc.Code{}, iscc.Code{}, true}, {image64, instance, true}, {image64, iscc.Code{}, false}, {iscc.Code{}, instance, false},
		{image128, instance, false}, {image64, image64, false}, {instance, instance, false},
	} {
		m := exampleManifest()
		m.Images[0].ISCCImage, m.Images[0].ISCCInstance = c.image, c.instance
		text, err := m.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParseManifest(text)
		if (err == nil) != c.ok || c.ok && (back.Images[0].ISCCImage != c.image || back.Images[0].ISCCInstance != c.instance) {
			t.Errorf("%v and %v: %v", c.image, c.instance, err)
		}
		if has := bytes.Contains(text, []byte("iscc_")); has != !(c.image.IsZero() && c.instance.IsZero()) {
			t.Errorf("%v and %v: in the text: %v", c.image, c.instance, has)
		}
	}
	m := exampleManifest()
	m.Images[0].ISCCImage, m.Images[0].ISCCInstance = image64, instance
	text, err := m.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	if lower := bytes.Replace(text, []byte(image64.String()), []byte("iscc:"+image64.String()[5:]), 1); bytes.Equal(lower, text) || json.Unmarshal(lower, new(plainManifest)) == nil {
		t.Error("a code in another form was read")
	}
}
