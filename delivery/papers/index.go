package papers

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/delivery"
)

// Row is one picture of the index.
type Row struct {
	Key          string   `parquet:"key"`        // of the sample: its members are key.extension, key.json, key.txt
	Shard        string   `parquet:"shard,dict"` // the file it is in
	Extension    string   `parquet:"extension,dict"`
	SHA256       string   `parquet:"sha256"` // of the image file, hex
	Work         string   `parquet:"work"`
	Concepts     []string `parquet:"concepts,list"`      // IDs
	ConceptNames []string `parquet:"concept_names,list"` // in the same order
	Width        int32    `parquet:"width"`              // pixels
	Height       int32    `parquet:"height"`
	Bytes        int64    `parquet:"bytes"`
	PSNRDB       float64  `parquet:"psnr_db"` // of the file against the unmarked picture
	SSIM         float64  `parquet:"ssim"`
	ISCCImage    string   `parquet:"iscc_image"`    // ISO 24138 Image-Code
	ISCCInstance string   `parquet:"iscc_instance"` // Instance-Code
	Caption      string   `parquet:"caption"`       // as in key.txt
	Licence      string   `parquet:"licence,dict"`  // Terms.LicenceURL
}

// RowsPerGroup is how many rows of the Parquet file are held in memory at once.
const RowsPerGroup = 20_000

// listSeparator joins lists in index.csv: it stands in no concept ID.
const listSeparator = "|"

// rows gives the index of a delivery, row by row.
func rows(m *delivery.Manifest, cat *concepts.Frozen, licence string, each func(*Row) error) error {
	for i := range m.Images {
		img := &m.Images[i]
		w, ok := cat.Work(img.Work)
		if !ok {
			return fmt.Errorf("papers: work %s is not in the catalogue; give the catalogue that was delivered", img.Work)
		}
		cs := delivery.ConceptsOf(cat, img.Work)
		r := rowOf(img, licence)
		r.Caption = m.Parameters.Captions.Of(w, cs)
		r.ConceptNames = make([]string, len(cs))
		for n, c := range cs {
			r.ConceptNames[n] = c.Name
		}
		if err := each(&r); err != nil {
			return err
		}
	}
	return nil
}

// rowOf gives the part of a row that the manifest tells.
func rowOf(img *delivery.Image, licence string) Row {
	r := Row{Key: img.Key, Shard: img.Shard, Extension: img.Extension, SHA256: img.SHA256, Work: string(img.Work), Width: int32(img.Width), Height: int32(img.Height),
		Bytes: img.Bytes, PSNRDB: img.PSNRDB, SSIM: img.SSIM, Licence: licence, Concepts: make([]string, len(img.Concepts))}
	for n, c := range img.Concepts {
		r.Concepts[n] = string(c.ID)
	}
	if !img.ISCCImage.IsZero() {
		r.ISCCImage, r.ISCCInstance = img.ISCCImage.String(), img.ISCCInstance.String()
	}
	return r
}

// writeParquet writes rows in groups of a fixed number, so that the same rows give the same bytes.
func writeParquet(w io.Writer, all func(each func(*Row) error) error) error {
	p := parquet.NewGenericWriter[Row](w, parquet.CreatedBy("filigrane", "1", ""), parquet.Compression(&parquet.Zstd))
	n := 0
	err := all(func(r *Row) error {
		if _, err := p.Write([]Row{*r}); err != nil {
			return err
		}
		if n++; n%RowsPerGroup == 0 {
			return p.Flush()
		}
		return nil
	})
	if err != nil {
		return err
	}
	return p.Close()
}

// csvHeader names the columns of index.csv, those of Row.
var csvHeader = []string{"key", "shard", "extension", "sha256", "work", "concepts", "concept_names", "width", "height", "bytes", "psnr_db", "ssim", "iscc_image", "iscc_instance", "caption", "licence"}

// record is a row of index.csv. Text is as it is: a program that takes a caption which begins with "=" for a formula is
// not stopped here, since captions are delivered untouched.
func (r *Row) record() []string {
	float := func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
	return []string{r.Key, r.Shard, r.Extension, r.SHA256, r.Work, strings.Join(r.Concepts, listSeparator), strings.Join(r.ConceptNames, listSeparator),
		strconv.Itoa(int(r.Width)), strconv.Itoa(int(r.Height)), strconv.FormatInt(r.Bytes, 10), float(r.PSNRDB), float(r.SSIM), r.ISCCImage, r.ISCCInstance, r.Caption, r.Licence}
}

func writeCSV(w io.Writer, all func(each func(*Row) error) error) error {
	c := csv.NewWriter(w)
	if err := c.Write(csvHeader); err != nil {
		return err
	}
	if err := all(func(r *Row) error { return c.Write(r.record()) }); err != nil {
		return err
	}
	c.Flush()
	return c.Error()
}

// rowOfRecord is the inverse of Row.record.
func rowOfRecord(f []string) (*Row, error) {
	var errs []error
	whole := func(s string, bits int) int64 {
		n, err := strconv.ParseInt(s, 10, bits)
		errs = append(errs, err)
		return n
	}
	float := func(s string) float64 {
		x, err := strconv.ParseFloat(s, 64)
		errs = append(errs, err)
		return x
	}
	list := func(s string) []string {
		if s == "" {
			return []string{}
		}
		return strings.Split(s, listSeparator)
	}
	r := &Row{Key: f[0], Shard: f[1], Extension: f[2], SHA256: f[3], Work: f[4], Concepts: list(f[5]), ConceptNames: list(f[6]), Width: int32(whole(f[7], 32)), Height: int32(whole(f[8], 32)),
		Bytes: whole(f[9], 64), PSNRDB: float(f[10]), SSIM: float(f[11]), ISCCImage: f[12], ISCCInstance: f[13], Caption: f[14], Licence: f[15]}
	return r, errors.Join(errs...)
}
