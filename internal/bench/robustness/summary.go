package robustness

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/filigrane/filigrane/detect"
)

// Params say under which conditions the rows hold.
type Params struct {
	Photos     []string `json:"photos"`
	Edits      []Edit   `json:"edits"`
	PSNRDB     float64  `json:"psnr_db"`
	Resolution int      `json:"resolution"`
	FWER       float64  `json:"fwer"`
	Seed       uint64   `json:"seed"`
	Profile    int      `json:"profile"`
}

// Edit says what was done, and how far readings went.
type Edit struct {
	Name  string       `json:"name"`
	About string       `json:"about"`
	Level detect.Level `json:"level"`
}

// Params returns the conditions of a configuration.
func (c *Config) Params() Params {
	p := Params{PSNRDB: c.PSNRDB, Resolution: c.Resolution, FWER: c.FWER, Seed: c.Seed, Profile: 1}
	for _, photo := range c.Photos {
		p.Photos = append(p.Photos, photo.Name)
	}
	for _, k := range c.Cases {
		level := k.Level
		if c.Level != "" {
			level = c.Level
		}
		p.Edits = append(p.Edits, Edit{k.Name, k.About, level})
	}
	return p
}

// Line sums up one edit over all photographs.
type Line struct {
	Edit  string       `json:"edit"`
	Level detect.Level `json:"level"`
	N     int          `json:"n"`
	// Concept counts photographs whose concept is known, directly or through the work; Direct those where the
	// concept's own mark named it.
	Concept  int `json:"concept_right"`
	Direct   int `json:"concept_direct"`
	Work     int `json:"work_right"`
	Delivery int `json:"delivery_right"`
	// Wrong counts false attributions on marked copies, Unmarked and OtherKey those on copies that do not carry
	// the mark, of Nulls readings.
	Wrong    int     `json:"wrong"`
	Unmarked int     `json:"false_on_unmarked"`
	OtherKey int     `json:"false_on_other_key"`
	Nulls    int     `json:"nulls"`
	TConcept float64 `json:"t_concept_median"`
	TWork    float64 `json:"t_work_median"`
	MS       float64 `json:"ms_median"`
	MSNull   float64 `json:"ms_median_unmarked"`
}

// Summarise returns one line per edit, in the order in which they first appear.
func Summarise(rows []Row) []Line {
	var lines []Line
	for _, name := range editsOf(rows) {
		l := Line{Edit: name}
		var tc, tw, ms, msNull []float64
		for i := range rows {
			r := &rows[i]
			if r.Edit != name {
				continue
			}
			l.Level = r.Level
			l.add(r)
			if r.Copy == Marked {
				tc, tw, ms = append(tc, r.TConcept), append(tw, r.TWork), append(ms, r.MS)
			} else {
				msNull = append(msNull, r.MS)
			}
		}
		l.TConcept, l.TWork, l.MS, l.MSNull = median(tc), median(tw), median(ms), median(msNull)
		lines = append(lines, l)
	}
	return lines
}

func (l *Line) add(r *Row) {
	count := func(n *int, yes bool) {
		if yes {
			*n++
		}
	}
	switch r.Copy {
	case Marked:
		l.N++
		count(&l.Concept, r.ConceptRight || r.ConceptViaWork)
		count(&l.Direct, r.ConceptRight)
		count(&l.Work, r.WorkRight)
		count(&l.Delivery, r.DeliveryRight)
		count(&l.Wrong, r.False())
	case Unmarked:
		l.Nulls++
		count(&l.Unmarked, r.False())
	case OtherKey:
		l.Nulls++
		count(&l.OtherKey, r.False())
	}
}

// False counts the false attributions of all rows.
func False(rows []Row) int {
	n := 0
	for i := range rows {
		if rows[i].False() {
			n++
		}
	}
	return n
}

func editsOf(rows []Row) []string {
	var names []string
	for i := range rows {
		if !slices.Contains(names, rows[i].Edit) {
			names = append(names, rows[i].Edit)
		}
	}
	return names
}

// median returns the middle value, the mean of the two in the middle where there are two, and 0 for none.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Clone(v)
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// Quality is that of the marked copies against their photographs.
type Quality struct {
	PSNRMin, PSNRMean, SSIMMin, SSIMMean float64
}

// QualityOf measures the marked copies, each photograph once.
func QualityOf(rows []Row) Quality {
	q := Quality{PSNRMin: math.Inf(1), SSIMMin: 1}
	n := 0.0
	last := ""
	for i := range rows {
		r := &rows[i]
		if r.Copy != Marked || r.Photo == last {
			continue
		}
		last = r.Photo
		n++
		q.PSNRMin, q.SSIMMin = min(q.PSNRMin, r.PSNRDB), min(q.SSIMMin, r.SSIM)
		q.PSNRMean, q.SSIMMean = q.PSNRMean+r.PSNRDB, q.SSIMMean+r.SSIM
	}
	q.PSNRMean, q.SSIMMean = q.PSNRMean/n, q.SSIMMean/n
	return q
}

// WriteJSON writes {"params": ..., "rows": [...], "summary": [...]}, one row or line of the summary to a line of
// text, numbers rounded to what is worth reading.
func WriteJSON(w io.Writer, p Params, rows []Row) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	put := func(v any, comma bool) error {
		if err := enc.Encode(v); err != nil {
			return err
		}
		b.Truncate(b.Len() - 1) // Encode ends in a line feed
		if comma {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
		return nil
	}
	b.WriteString("{\"params\":")
	if err := put(p, true); err != nil {
		return err
	}
	b.WriteString("\"rows\":[\n")
	for i, r := range rows {
		if err := put(r.rounded(), i < len(rows)-1); err != nil {
			return err
		}
	}
	b.WriteString("],\n\"summary\":[\n")
	lines := Summarise(rows)
	for i, l := range lines {
		if err := put(l.Rounded(), i < len(lines)-1); err != nil {
			return err
		}
	}
	b.WriteString("]}\n")
	_, err := w.Write(b.Bytes())
	return err
}

func (r Row) rounded() Row {
	r.PSNRDB, r.SSIM, r.TConcept, r.TWork, r.MS = round(r.PSNRDB, 3), round(r.SSIM, 5), round(r.TConcept, 3), round(r.TWork, 3), round(r.MS, 1)
	return r
}

// Rounded returns the line with its numbers rounded to what is worth reading.
func (l Line) Rounded() Line {
	l.TConcept, l.TWork, l.MS, l.MSNull = round(l.TConcept, 2), round(l.TWork, 2), round(l.MS, 1), round(l.MSNull, 1)
	return l
}

func round(v float64, digits int) float64 {
	f := math.Pow(10, float64(digits))
	return math.Round(v*f) / f
}

// Markdown writes the summary as a table, the peers beside it where there are any that were measured with
// the edit.
func Markdown(w io.Writer, lines []Line, peers []Peer) error {
	var b strings.Builder
	b.WriteString("| edit | level | concept | named directly | work | delivery | T concept | T work | ms | false / nulls |")
	methods := Methods(peers)
	for _, m := range methods {
		b.WriteString(" " + m + " |")
	}
	b.WriteString("\n|---|---|--:|--:|--:|--:|--:|--:|--:|--:|" + strings.Repeat("--:|", len(methods)) + "\n")
	for _, l := range lines {
		fmt.Fprintf(&b, "| %s | %s | %d/%d | %d | %d | %d | %.1f | %.1f | %.0f | %d/%d |", l.Edit, l.Level, l.Concept, l.N, l.Direct, l.Work, l.Delivery, l.TConcept, l.TWork, l.MS, l.Wrong+l.Unmarked+l.OtherKey, l.N+l.Nulls)
		for _, m := range methods {
			if p, ok := Find(peers, m, l.Edit); ok {
				fmt.Fprintf(&b, " %d/%d |", p.Detected, p.N)
			} else {
				b.WriteString(" |")
			}
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}
