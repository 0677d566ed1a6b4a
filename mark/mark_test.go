package mark_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/filigrane/filigrane/internal/signal"
	"github.com/filigrane/filigrane/mark"
)

// second is testdata/oracles/mark.json, written by a second implementation in Python and openssl.
type second struct {
	Master      string    `json:"master"`
	Path        mark.Path `json:"path"`
	Fingerprint string    `json:"delivery_fingerprint"`
	LatticeKeys map[string]string
	Harmonics   map[string]int `json:"harmonics"`
	Codewords   []struct {
		Lattice string `json:"lattice"`
		Number  int    `json:"number"`
		Signs   string `json:"signs"`
	} `json:"codewords"`
}

func loadSecond(t *testing.T) second {
	t.Helper()
	data, err := os.ReadFile("../testdata/oracles/mark.json")
	if err != nil {
		t.Fatal(err)
	}
	var s second
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	var keys struct {
		LatticeKeys map[string]string `json:"lattice_keys"`
	}
	if err := json.Unmarshal(data, &keys); err != nil {
		t.Fatal(err)
	}
	s.LatticeKeys = keys.LatticeKeys
	return s
}

var lattices = map[string]mark.Lattice{"concept": mark.Concept, "pilot": mark.Pilot, "work": mark.Work}

func TestKeysAndCodewordsAgreeWithASecondImplementation(t *testing.T) {
	s := loadSecond(t)
	secret, err := hex.DecodeString(s.Master)
	if err != nil {
		t.Fatal(err)
	}
	master, err := mark.NewKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	delivery := master.Delivery(s.Path)
	if got := delivery.Fingerprint(); got != s.Fingerprint {
		t.Errorf("fingerprint %s, want %s", got, s.Fingerprint)
	}
	keys, profile := delivery.Keys(), mark.Profile1()
	books := mark.NewBooks(profile, keys)
	for name, l := range lattices {
		if got := hex.EncodeToString(keys[l].Bytes()); got != s.LatticeKeys[name] {
			t.Errorf("%s key %s, want %s", name, got, s.LatticeKeys[name])
		}
		if got := len(profile.Harmonics(l)); got != s.Harmonics[name] {
			t.Errorf("%s lattice has %d harmonics, want %d", name, got, s.Harmonics[name])
		}
	}
	if c := books[mark.Concept].Codeword(257); fmt.Sprint(c) != fmt.Sprint(mark.OneCodeword(profile, mark.Concept, keys[mark.Concept], 257)) {
		t.Error("OneCodeword differs from the book's")
	}
	if len(s.Codewords) == 0 {
		t.Fatal("no codewords to compare")
	}
	for _, c := range s.Codewords {
		var signs strings.Builder
		for _, v := range books[lattices[c.Lattice]].Codeword(c.Number) {
			signs.WriteByte("-?+"[v+1])
		}
		if signs.String() != c.Signs {
			t.Errorf("%s codeword %d differs:\n%s\n%s", c.Lattice, c.Number, signs.String(), c.Signs)
		}
	}
}

func TestProfile1HasTheNumbersOfTheDesign(t *testing.T) {
	p := mark.Profile1()
	for l, want := range map[mark.Lattice]struct{ coefficients, codewords int }{
		mark.Concept: {208, 65536 + 256}, mark.Pilot: {140, 256}, mark.Work: {584, 1048576},
	} {
		if p.Coefficients(l) != want.coefficients || p.Codewords(l) != want.codewords {
			t.Errorf("%v: %d coefficients and %d codewords, want %+v", l, p.Coefficients(l), p.Codewords(l), want)
		}
		for _, h := range p.Harmonics(l) {
			if mark.LatticeOf(h.KX, h.KY) != l {
				t.Errorf("%v holds the harmonic %+v", l, h)
			}
		}
	}
	if p.ConceptCodeword(1) != 256 || p.ConceptCodeword(mark.MaxConcepts) != p.Codewords(mark.Concept)-1 || p.WorkCodeword(mark.MaxWorks) != p.Codewords(mark.Work)-1 {
		t.Error("codeword numbers do not fill the books")
	}
	for l := range mark.Lattices {
		u := p.Unit(l, 1)
		sum := 0.0
		for i, h := range p.Harmonics(l) {
			sum += u * u * p.Shape(l)[i] * p.Shape(l)[i] * mark.ChannelPower(h.Channel)
		}
		if math.Abs(sum-1) > 1e-4 {
			t.Errorf("%v: unit RMS has power %v", l, sum)
		}
	}
}

func TestKeysNeverShowThemselves(t *testing.T) {
	k, err := mark.NewKey([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%d", "%q"} {
		shown := fmt.Sprintf(verb+verb, k, struct{ K mark.Key }{k})
		if strings.Contains(shown, "0123") || strings.Contains(shown, "30313233") || strings.Contains(shown, "48 49") {
			t.Errorf("%s shows the secret: %s", verb, shown)
		}
	}
	if out, err := json.Marshal(map[string]any{"k": k}); err == nil {
		t.Errorf("marshalled to %s", out)
	}
	if _, err := mark.NewKey(make([]byte, 31)); err == nil {
		t.Error("a key of 31 bytes was accepted")
	}
}

func TestDeliveriesHaveDifferentKeys(t *testing.T) {
	k, _ := mark.NewKey(make([]byte, mark.KeySize))
	base := mark.Path{Bank: "a", Catalogue: "c@1", Licence: "l", Purpose: "p", Epoch: 1}
	seen := map[string]mark.Path{}
	for _, p := range []mark.Path{base, {Bank: "ac@1", Catalogue: "", Licence: "l", Purpose: "p", Epoch: 1}, {Bank: "b", Catalogue: "c@1", Licence: "l", Purpose: "p", Epoch: 1},
		{Bank: "a", Catalogue: "c@2", Licence: "l", Purpose: "p", Epoch: 1}, {Bank: "a", Catalogue: "c@1", Licence: "p", Purpose: "l", Epoch: 1}, {Bank: "a", Catalogue: "c@1", Licence: "l", Purpose: "p", Epoch: 2}} {
		f := k.Delivery(p).Fingerprint()
		if q, ok := seen[f]; ok {
			t.Errorf("%+v and %+v share a key", p, q)
		}
		seen[f] = p
	}
}

// TestCodewordsAreUnalike: codewords of any two books agree no more than chance would have it.
func TestCodewordsAreUnalike(t *testing.T) {
	k, _ := mark.NewKey(make([]byte, mark.KeySize))
	p := mark.Profile1()
	b := mark.NewBooks(p, k.Keys())
	for _, l := range []mark.Lattice{mark.Concept, mark.Work} {
		var words []mark.Codeword
		for i := range 40 {
			words = append(words, b[l].Codeword(i*1609%p.Codewords(l)))
		}
		limit := 5 * math.Sqrt(float64(p.Coefficients(l))) // five deviations
		for i := range words {
			for j := range i {
				dot := 0
				for c := range words[i] {
					dot += int(words[i][c]) * int(words[j][c])
				}
				if math.Abs(float64(dot)) > limit {
					t.Errorf("%v codewords %d and %d agree by %d of %d", l, i, j, dot, p.Coefficients(l))
				}
			}
		}
	}
}

func TestRenderedCellHasThePowerAndPeriodOfItsLattice(t *testing.T) {
	k, _ := mark.NewKey(make([]byte, mark.KeySize))
	p := mark.Profile1()
	c := mark.NewCell(p, mark.NewBooks(p, k.Keys()), mark.Names{Concepts: []int{5}, Work: 77})
	period := map[mark.Lattice]int{mark.Concept: 16, mark.Pilot: 32, mark.Work: 64}
	total := 0.0
	for l := range mark.Lattices {
		power := 0.0
		for channel := range signal.Channels {
			s := c.Only(l).Render(channel, 64, 0.5, 0.5, 32)
			for y := range 64 {
				for x := range 64 {
					v := s[y*64+x]
					power += v * v / 4096 * mark.ChannelPower(channel)
					if d := v - s[(y+period[l])%64*64+x]; math.Abs(d) > 1e-9 {
						t.Fatalf("%v does not repeat after %d samples", l, period[l])
					}
				}
			}
		}
		total += power
	}
	if db := 10 * math.Log10(255*255/total); math.Abs(db-mark.Reference) > 0.15 {
		t.Errorf("the whole mark has %.2f dB at its reference strength of %v", db, mark.Reference)
	}
}

func TestNamesAreValidated(t *testing.T) {
	for _, n := range []mark.Names{{Concepts: []int{0}}, {Concepts: []int{65537}}, {Concepts: []int{3, 3}}, {Concepts: []int{1, 2, 3, 4, 5}}, {Work: -1}, {Work: 1048577}} {
		if n.Validate() == nil {
			t.Errorf("%+v passed", n)
		}
	}
	if err := (mark.Names{Concepts: []int{1, 65536}, Work: 1048576}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestPresetsAndProfilesByName(t *testing.T) {
	for name, db := range map[string]float64{"gentle": 45, "standard": 42, "strong": 38} {
		if p, err := mark.PresetByName(name); err != nil || p.PSNRDB != db {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
	if _, err := mark.PresetByName("loud"); err == nil || !strings.Contains(err.Error(), "gentle, standard, strong") {
		t.Errorf("unknown preset: %v", err)
	}
	if p, err := mark.ProfileByID(1); err != nil || p.ID != 1 {
		t.Error(p, err)
	}
	if _, err := mark.ProfileByID(2); err == nil {
		t.Error("profile 2 exists")
	}
}
