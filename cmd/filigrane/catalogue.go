package main

import (
	"encoding/json"
	"strings"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/registry"
	"github.com/filigrane/filigrane/internal/workspace"
)

// versions lists the catalogues by name and version.
func (r *records) versions(s *session) ([]registry.CatalogueVersion, error) {
	return collect(func(p registry.Page) (registry.List[registry.CatalogueVersion], error) {
		return r.reg.Catalogues(s.ctx, r.scope, p)
	})
}

// resolve completes a reference: no version means the latest; no name at all means the only catalogue there is.
func (r *records) resolve(s *session, ref workspace.Ref) (registry.Ref, error) {
	all, err := r.versions(s)
	if err != nil {
		return registry.Ref{}, err
	}
	if ref.Name == "" {
		names := map[string]bool{}
		for _, v := range all {
			names[v.Name], ref.Name = true, v.Name
		}
		switch {
		case len(names) == 0:
			return registry.Ref{}, badInput("the workspace has no catalogue; make one with 'filigrane concepts --by folder'")
		case len(names) > 1:
			return registry.Ref{}, badInput("the workspace has several catalogues; choose one with --catalogue: %s", listed(all))
		}
	}
	found := registry.Ref{}
	for _, v := range all {
		if v.Name == ref.Name && (ref.Version == 0 || v.Version == ref.Version) {
			found = v.Ref
		}
	}
	switch {
	case found.Name != "":
		return found, nil
	case len(all) > 0:
		return found, badInput("no catalogue %v; there is: %s", ref, listed(all))
	}
	return found, badInput("no catalogue %v; make one with 'filigrane concepts --by folder'", ref)
}

func listed(all []registry.CatalogueVersion) string {
	var names []string
	for _, v := range all {
		names = append(names, v.Ref.String())
	}
	return strings.Join(names, ", ")
}

// catalogue reads the catalogue that a flag names; "" is the latest version of the only one.
func (r *records) catalogue(s *session, text string) (*workspace.Catalogue, error) {
	var ref workspace.Ref
	if text != "" {
		var err error
		if ref, err = workspace.ParseRef(text); err != nil {
			return nil, inputError{err}
		}
	}
	full, err := r.resolve(s, ref)
	if err != nil {
		return nil, err
	}
	return r.loadCatalogue(s, full)
}

func (r *records) loadCatalogue(s *session, ref registry.Ref) (*workspace.Catalogue, error) {
	f, err := r.reg.LoadCatalogue(s.ctx, r.scope, ref)
	if err != nil {
		return nil, err
	}
	c := &workspace.Catalogue{Frozen: f}
	story, err := r.reg.Story(s.ctx, r.scope, ref)
	if err == nil && story != nil {
		err = json.Unmarshal(story, &c.Grouping)
	}
	return c, err
}

// refOf names a catalogue.
func refOf(c *workspace.Catalogue) registry.Ref {
	content := c.Catalogue()
	return registry.Ref{Name: content.Name, Version: content.Version}
}

// book reads the codebook.
func (r *records) book(s *session) (*concepts.Codebook, error) {
	return r.reg.Codebook(s.ctx, r.scope, mainBook)
}

// worksIn lists the works in a state by id.
func (r *records) worksIn(s *session, state registry.WorkState) ([]registry.Work, error) {
	return collect(func(p registry.Page) (registry.List[registry.Work], error) {
		return r.reg.Works(s.ctx, r.scope, registry.WorkQuery{State: &state}, p)
	})
}
