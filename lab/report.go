package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"text/template"
)

// reportCmd is "lab report".
type reportCmd struct {
	Docs string `default:"docs" help:"Where lab.json, lab.md and the folder lab of plots go. Default ${default}."`
}

//go:embed lab.md.tmpl
var page string

// Run writes everything from what was measured.
func (c *reportCmd) Run(g *grammar) error {
	l := &lab{grammar: g}
	rs, err := l.results()
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(rows(rs), "", " ")
	if err != nil {
		return err
	}
	figuresDir := filepath.Join(c.Docs, "lab")
	if err := errors.Join(os.MkdirAll(figuresDir, 0o755), os.WriteFile(filepath.Join(c.Docs, "lab.json"), append(text, '\n'), 0o644)); err != nil {
		return err
	}
	laws := map[string]law{}
	for name, of := range map[string]func(point) level{"delivery": ofDelivery, "concept": ofConcept} {
		if laws[name], err = fit(observations(rs, of)); err != nil {
			return err
		}
	}
	if err := figures(figuresDir, rs, laws); err != nil {
		return err
	}
	if err := l.pictures(figuresDir); err != nil {
		return err
	}
	var b bytes.Buffer
	t := template.Must(template.New("lab.md").Parse(page))
	if err := t.Execute(&b, &document{rs, laws}); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(c.Docs, "lab.md"), b.Bytes(), 0o644)
}

func ofDelivery(p point) level { return p.Delivery }
func ofConcept(p point) level  { return p.Concept }

// pictures lays out outputs for people to look at.
func (l *lab) pictures(dir string) error {
	for _, name := range []string{"transformer-38-s0", "transformer-42-s0", "unet-38-s0", "transformer-unmarked"} {
		r, err := runByName(name)
		if err != nil {
			return err
		}
		var folders []string
		for i := 0; exists(filepath.Join(l.outputs(r, r.Steps), classFolder(i))); i++ {
			folders = append(folders, filepath.Join(l.outputs(r, r.Steps), classFolder(i)))
		}
		if len(folders) == 0 {
			continue
		}
		if err := contactSheet(filepath.Join(dir, name+".jpg"), folders, 8); err != nil {
			return err
		}
	}
	return nil
}
