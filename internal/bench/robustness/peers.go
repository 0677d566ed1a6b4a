package robustness

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/filigrane/filigrane/internal/attack"
)

// Peer is what another watermark was measured to do after one edit.
type Peer struct {
	Method   string
	Edit     string // in the peers' words
	N        int
	Detected int
	PSNRDB   float64 // mean over the photographs
}

// ReadPeers reads a table with the columns method, edit, n, detected and psnr_db, such as
// testdata/ladder/peers.csv; other columns are not looked at. An error names the line.
func ReadPeers(r io.Reader) ([]Peer, error) {
	lines, err := csv.NewReader(r).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("peers: %w", err)
	}
	if len(lines) == 0 {
		return nil, fmt.Errorf("peers: no line of column names")
	}
	column := map[string]int{}
	for _, name := range []string{"method", "edit", "n", "detected", "psnr_db"} {
		i := slices.Index(lines[0], name)
		if i < 0 {
			return nil, fmt.Errorf("peers: no column %q; there are %s", name, strings.Join(lines[0], ", "))
		}
		column[name] = i
	}
	var peers []Peer
	for i, l := range lines[1:] {
		p := Peer{Method: l[column["method"]], Edit: l[column["edit"]]}
		var errN, errDetected, errPSNR error
		p.N, errN = strconv.Atoi(l[column["n"]])
		p.Detected, errDetected = strconv.Atoi(l[column["detected"]])
		p.PSNRDB, errPSNR = strconv.ParseFloat(l[column["psnr_db"]], 64)
		if errN != nil || errDetected != nil || errPSNR != nil || p.N < 1 || p.Detected < 0 || p.Detected > p.N {
			return nil, fmt.Errorf("peers: line %d: n %q, detected %q, psnr_db %q", i+2, l[column["n"]], l[column["detected"]], l[column["psnr_db"]])
		}
		peers = append(peers, p)
	}
	return peers, nil
}

// Methods lists the methods of a table in the order in which they appear.
func Methods(peers []Peer) []string {
	var names []string
	for _, p := range peers {
		if !slices.Contains(names, p.Method) {
			names = append(names, p.Method)
		}
	}
	return names
}

// Find returns what a method did after an edit, whose name may be the peers' or that of the edit of the
// published ladder that does the same; false where it was not measured with it.
func Find(peers []Peer, method, edit string) (Peer, bool) {
	if name, ok := inPeersWords[edit]; ok {
		edit = name
	}
	for _, p := range peers {
		if p.Method == method && p.Edit == edit {
			return p, true
		}
	}
	return Peer{}, false
}

// inPeersWords gives the peers' name of edits that are the same under another name. Crops are not: the
// peers' are in the middle, the ladder's are off it.
var inPeersWords = map[string]string{
	"jpeg90": "jpeg_q90", "jpeg75": "jpeg_q75", "jpeg50": "jpeg_q50", "jpeg30": "jpeg_q30", "webp75": "webp_q75",
	"noise10": "gauss_noise_s10", "blur1": "gauss_blur_r1", "bright+20": "brightness_+20pct", "bright-20": "brightness_-20pct",
	"flip": "hflip", "square512": "train_prep_square_crop_512", "rotate2": "rotate_2deg",
	"blend50": attack.PeersBlend, "remarked": attack.PeersRemarked,
}
