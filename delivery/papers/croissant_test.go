package papers

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/filigrane/filigrane/delivery"
)

// checkCroissant holds croissant.json against what the specification 1.1 demands, and then has it expanded by a JSON-LD
// processor where one is at hand: FILIGRANE_JSONLD names a folder node_modules that holds the npm package jsonld.
func checkCroissant(t *testing.T, folder string, d *delivery.Delivery) {
	text := read(t, filepath.Join(folder, croissantKey))
	var doc map[string]any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"@context", "@type", "conformsTo", "description", "license", "name", "url", "creator", "datePublished", "distribution"} { // "Required"
		if doc[p] == nil {
			t.Errorf("no %s", p)
		}
	}
	if doc["@type"] != "sc:Dataset" || doc["conformsTo"] != "http://mlcommons.org/croissant/1.1" || !regexp.MustCompile(`^\d+\.\d+\.\d+$`).MatchString(doc["version"].(string)) ||
		!regexp.MustCompile(`^\d{4}-\d\d-\d\d$`).MatchString(doc["datePublished"].(string)) {
		t.Errorf("%s", text)
	}
	ids := map[string]string{} // by type
	for _, x := range doc["distribution"].([]any) {
		checkResource(t, x.(map[string]any), ids)
	}
	for _, s := range d.Shards {
		if ids[s.Name] != "cr:FileObject" {
			t.Errorf("shard %s is not listed", s.Name)
		}
	}
	records := doc["recordSet"].([]any)[0].(map[string]any)
	fields := map[string]bool{}
	for _, x := range records["field"].([]any) {
		f := x.(map[string]any)
		id := f["@id"].(string)
		ids[id] = "cr:Field"
		fields[strings.TrimPrefix(id, "pictures/")] = true
		source := f["source"].(map[string]any)
		of := source["fileObject"]
		if of == nil {
			of = source["fileSet"]
		}
		if target := of.(map[string]any)["@id"].(string); ids[target] == "" {
			t.Errorf("field %s comes from %s, which is not listed", id, target)
		}
		if f["@type"] != "cr:Field" || !strings.HasPrefix(f["dataType"].(string), "sc:") || source["extract"] == nil {
			t.Errorf("field %v", f)
		}
	}
	for _, name := range []string{"image", "caption", "concepts", "work", "licence"} {
		if !fields[name] {
			t.Errorf("no field %s", name)
		}
	}
	if key := records["key"].(map[string]any)["@id"]; ids[key.(string)] != "cr:Field" {
		t.Errorf("the key %v is no field", key)
	}
	offer := doc["usageInfo"].(map[string]any)
	if types, _ := json.Marshal(offer["@type"]); !strings.Contains(string(types), "odrl:Offer") || offer["odrl:permission"] == nil {
		t.Errorf("usageInfo %v", offer)
	}
	if by, _ := json.Marshal(doc["prov:wasGeneratedBy"]); !strings.Contains(string(by), "Marked by Filigrane") || !strings.Contains(string(by), d.SHA256()) {
		t.Errorf("provenance %s", by)
	}
	expand(t, filepath.Join(folder, croissantKey))
}

// checkResource checks a FileObject or FileSet; each has an identifier of its own.
func checkResource(t *testing.T, r map[string]any, ids map[string]string) {
	t.Helper()
	id, kind := r["@id"].(string), r["@type"].(string)
	if ids[id] != "" {
		t.Errorf("%s is listed twice", id)
	}
	ids[id] = kind
	switch kind {
	case "cr:FileObject":
		for _, p := range []string{"name", "contentUrl", "contentSize", "encodingFormat", "sha256"} {
			if s, _ := r[p].(string); s == "" {
				t.Errorf("%s has no %s", id, p)
			}
		}
		if !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(r["sha256"].(string)) || !regexp.MustCompile(`^\d+ B$`).MatchString(r["contentSize"].(string)) {
			t.Errorf("%v", r)
		}
	case "cr:FileSet":
		for _, in := range r["containedIn"].([]any) {
			if ids[in.(map[string]any)["@id"].(string)] != "cr:FileObject" {
				t.Errorf("%s is contained in %v, which is not listed", id, in)
			}
		}
		if len(r["includes"].([]any)) == 0 || len(r["encodingFormat"].([]any)) == 0 {
			t.Errorf("%v", r)
		}
	default:
		t.Errorf("%s is of type %s", id, kind)
	}
}

// expand has every term resolved: a property outside the vocabularies of the context, or a relative type, would be left over.
func expand(t *testing.T, file string) {
	modules := os.Getenv("FILIGRANE_JSONLD")
	if modules == "" {
		t.Log("not expanded: set FILIGRANE_JSONLD to a node_modules that holds jsonld")
		return
	}
	const script = `const jsonld = require('jsonld'), fs = require('fs');
jsonld.expand(JSON.parse(fs.readFileSync(process.argv[1])), {safe: true, base: 'https://base.example/'}).then(d => process.stdout.write(JSON.stringify(d)))
  .catch(e => { console.error(JSON.stringify(e.details || e.message)); process.exit(1) })`
	cmd := exec.Command("node", "-e", script, file)
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var nodes []map[string]any
	if err := json.Unmarshal(out, &nodes); err != nil || len(nodes) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	for _, p := range []string{"http://purl.org/dc/terms/conformsTo", "http://schema.org/distribution", "http://mlcommons.org/croissant/recordSet", "http://schema.org/usageInfo",
		"http://www.w3.org/ns/prov#wasGeneratedBy", "http://schema.org/license"} {
		if nodes[0][p] == nil {
			t.Errorf("expanded it has no %s", p)
		}
	}
	if types, _ := json.Marshal(nodes[0]["@type"]); string(types) != `["http://schema.org/Dataset"]` {
		t.Errorf("expanded it is %s", types)
	}
}
