package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/alecthomas/kong"
)

// settings resolves flags that are not on the command line: from FILIGRANE_* variables, else from a JSON
// file. A file is one object whose names are flags, with "-" or "_" between words: {"key-command": "...",
// "jobs": 2, "by": ["folder", "creator"]}. Unknown names are refused: a setting that is silently ignored is
// worse than none. There is no setting for a key, as there is no flag.
type settings struct {
	env    func(string) (string, bool)
	values map[string]any
}

func newSettings(env func(string) (string, bool)) *settings {
	return &settings{env: env}
}

// settingsFlag is --settings.
type settingsFlag string

// BeforeResolve loads the file before flags are resolved.
func (f settingsFlag) BeforeResolve(set *settings, app *kong.Kong, trace *kong.Path, ctx *kong.Context) error {
	name := string(ctx.FlagValue(trace.Flag).(settingsFlag))
	return set.load(name, app.Model)
}

// variable is the name of the variable that sets a flag.
func variable(flag string) string {
	return "FILIGRANE_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// loadDefault loads the file of FILIGRANE_SETTINGS, or the user's own if there is one.
func (s *settings) loadDefault(app *kong.Application) error {
	if name, ok := s.env(variable("settings")); ok && name != "" {
		return s.load(name, app)
	}
	dir, ok := s.env("XDG_CONFIG_HOME")
	if !ok || dir == "" {
		home, ok := s.env("HOME")
		if !ok || home == "" {
			return nil
		}
		dir = filepath.Join(home, ".config")
	}
	err := s.load(filepath.Join(dir, "filigrane", "settings.json"), app)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (s *settings) load(name string, app *kong.Application) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	values, err := parseSettings(text)
	if err != nil {
		return fmt.Errorf("settings %s: %w", name, err)
	}
	known := flagNames(app.Node)
	for _, key := range keys(values) {
		if !known[key] {
			return fmt.Errorf("settings %s: there is no flag --%s; remove it", name, key)
		}
	}
	s.values = values
	return nil
}

// parseSettings reads a settings file: one JSON object of strings, numbers, booleans and lists of them. Names
// come out with "-" between words.
func parseSettings(text []byte) (map[string]any, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var raw map[string]any
	if err := dec.Decode(&raw); err != nil {
		return nil, fmt.Errorf("not a JSON object: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("something follows the end of the JSON object")
	}
	if raw == nil {
		return nil, errors.New("not a JSON object: null")
	}
	values := make(map[string]any, len(raw))
	for key, v := range raw {
		name := strings.ReplaceAll(key, "_", "-")
		if _, twice := values[name]; twice {
			return nil, fmt.Errorf("%q is given twice", name)
		}
		plain, err := plainValue(v)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", key, err)
		}
		values[name] = plain
	}
	return values, nil
}

// plainValue turns numbers into text, as on the command line, and refuses nested values.
func plainValue(v any) (any, error) {
	switch v := v.(type) {
	case string, bool:
		return v, nil
	case json.Number:
		return v.String(), nil
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			if _, nested := item.([]any); nested {
				return nil, errors.New("lists cannot be nested")
			}
			plain, err := plainValue(item)
			if err != nil {
				return nil, err
			}
			list[i] = plain
		}
		return list, nil
	}
	return nil, errors.New("give text, a number, true, false, or a list of these")
}

// flagNames lists the flags of all verbs.
func flagNames(n *kong.Node) map[string]bool {
	names := map[string]bool{}
	for _, f := range n.Flags {
		names[f.Name] = true
	}
	for _, child := range n.Children {
		for name := range flagNames(child) {
			names[name] = true
		}
	}
	for _, name := range []string{"help", "version", "settings"} {
		delete(names, name)
	}
	return names
}

func keys(m map[string]any) []string {
	var names []string
	for k := range m {
		names = append(names, k)
	}
	sort.Strings(names)
	return names
}

// Validate is part of kong.Resolver; names are checked on loading.
func (s *settings) Validate(*kong.Application) error { return nil }

// Resolve is part of kong.Resolver: variables come before the file.
func (s *settings) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if flag.Name == "help" || flag.Name == "version" || flag.Name == "settings" {
		return nil, nil
	}
	if v, ok := s.env(variable(flag.Name)); ok && v != "" {
		return v, nil
	}
	if v, ok := s.values[flag.Name]; ok {
		return v, nil
	}
	return nil, nil
}
