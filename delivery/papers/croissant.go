package papers

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/filigrane/filigrane/delivery"
)

// croissantVersion is the specification that croissant.json conforms to.
const croissantVersion = "http://mlcommons.org/croissant/1.1"

// object is a node of JSON-LD. encoding/json writes its properties in the order of their names.
type object map[string]any

func ref(id string) object { return object{"@id": id} }

// croissantContext is that of the specification's appendix 1, with the vocabularies of licence and provenance.
func croissantContext() object {
	c := object{"@language": "en", "@vocab": "http://schema.org/", "sc": "http://schema.org/", "cr": "http://mlcommons.org/croissant/", "rai": "http://mlcommons.org/croissant/RAI/",
		"dct": "http://purl.org/dc/terms/", "odrl": "http://www.w3.org/ns/odrl/2/", "prov": "http://www.w3.org/ns/prov#", "tdm": "http://www.w3.org/ns/tdmrep#",
		"conformsTo": "dct:conformsTo",
		"data":       object{"@id": "cr:data", "@type": "@json"},
		"dataType":   object{"@id": "cr:dataType", "@type": "@vocab"},
		"examples":   object{"@id": "cr:examples", "@type": "@json"},
	}
	for _, term := range []string{"annotation", "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "excludes", "extract", "field", "fileProperty",
		"fileObject", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "recordSet", "references", "regex", "readLines",
		"sdVersion", "separator", "source", "subField", "transform", "unArchive", "value"} {
		c[term] = "cr:" + term
	}
	return c
}

// hashed is a file of the delivery.
type hashed struct {
	name, sha256 string
	bytes        int64
}

func mediaType(name string) string {
	switch {
	case strings.HasSuffix(name, ".tar.zst"):
		return "application/zstd"
	case strings.HasSuffix(name, ".tar"):
		return "application/x-tar"
	case strings.HasSuffix(name, ".parquet"):
		return "application/vnd.apache.parquet"
	case strings.HasSuffix(name, ".csv"):
		return "text/csv"
	case strings.HasSuffix(name, ".html"):
		return "text/html"
	}
	return "application/json"
}

// croissant gives croissant.json for a delivery with these other files.
func croissant(m *delivery.Manifest, manifestSHA256 string, t Terms, files []hashed) ([]byte, error) {
	var distribution []object
	var shards []object
	for _, s := range m.Shards {
		distribution = append(distribution, fileObject(hashed{s.Name, s.SHA256, s.Bytes}, fmt.Sprintf("WebDataset shard with %d samples.", s.Images)))
		shards = append(shards, ref(s.Name))
	}
	for _, f := range files {
		distribution = append(distribution, fileObject(f, descriptions[f.name]))
	}
	distribution = append(distribution, fileSets(m, shards)...)
	doc := object{"@context": croissantContext(), "@type": "sc:Dataset", "conformsTo": croissantVersion, "name": t.Name, "description": t.Description, "url": t.URL,
		"license": t.LicenceURL, "creator": object{"@type": "sc:Organization", "name": t.Creator}, "datePublished": date(t.Published),
		"isLiveDataset": false, "version": version(m), "usageInfo": offer(m, t), "distribution": distribution,
		"recordSet":            []object{pictures(m)},
		"prov:wasDerivedFrom":  object{"@id": "urn:sha256:" + m.Parameters.CatalogueSHA256, "@type": "prov:Entity", "prov:label": "Catalogue " + m.Parameters.Catalogue},
		"prov:wasAttributedTo": object{"@type": "prov:Agent", "prov:label": t.Creator},
		"prov:wasGeneratedBy":  activity(m, manifestSHA256, t),
	}
	if m.Parameters.PreviousSHA256 != "" {
		doc["prov:wasRevisionOf"] = object{"@id": "urn:sha256:" + m.Parameters.PreviousSHA256, "@type": "prov:Entity", "prov:label": "The delivery before, of which this one holds the changes"}
	}
	return marshal(doc)
}

// descriptions says what the papers are.
var descriptions = map[string]string{
	"index.parquet": "One row for each picture: key, shard, hash, work, concepts, size, quality, ISCC, caption, licence.",
	"index.csv":     "The index as comma-separated values.", "removals.json": "Files of earlier deliveries that are to be taken out.",
	"statistics.json": "Counts and histograms of the delivery.", "statistics.html": "The statistics as a page.",
}

func fileObject(f hashed, description string) object {
	return object{"@type": "cr:FileObject", "@id": f.name, "name": f.name, "description": description, "contentUrl": f.name, "contentSize": strconv.FormatInt(f.bytes, 10) + " B",
		"encodingFormat": mediaType(f.name), "sha256": f.sha256}
}

// fileSets gives the sets of like members of the shards.
func fileSets(m *delivery.Manifest, shards []object) []object {
	if len(shards) == 0 {
		return nil
	}
	extensions := map[string]bool{}
	for i := range m.Images {
		extensions[m.Images[i].Extension] = true
	}
	var patterns, types []string
	for _, e := range slices.Sorted(maps.Keys(extensions)) {
		patterns = append(patterns, "*."+e)
		types = append(types, map[string]string{"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp", "tif": "image/tiff"}[e])
	}
	set := func(id, description string, types, patterns []string) object {
		return object{"@type": "cr:FileSet", "@id": id, "name": id, "description": description, "containedIn": shards, "encodingFormat": types, "includes": patterns}
	}
	return []object{set("images", "The marked pictures.", types, patterns), set("captions", "The captions, one line each.", []string{"text/plain"}, []string{"*.txt"})}
}

// version numbers the data set as Croissant recommends: the catalogue's version, which changes data, first.
func version(m *delivery.Manifest) string {
	_, v, _ := strings.Cut(m.Parameters.Catalogue, "@")
	return v + ".0.0"
}

// offer says in ODRL what the licence permits: mining and training for the delivery's purpose, within what bounds.
func offer(m *delivery.Manifest, t Terms) object {
	constraint := func(left, operator string, right any) object {
		return object{"@type": "odrl:Constraint", "odrl:leftOperand": ref("odrl:" + left), "odrl:operator": ref("odrl:" + operator), "odrl:rightOperand": right}
	}
	day := func(d time.Time) object {
		return object{"@type": "http://www.w3.org/2001/XMLSchema#date", "@value": date(d)}
	}
	constraints := []object{constraint("purpose", "eq", m.Parameters.Path.Purpose)}
	if !t.Start.IsZero() {
		constraints = append(constraints, constraint("dateTime", "gteq", day(t.Start)))
	}
	if !t.End.IsZero() {
		constraints = append(constraints, constraint("dateTime", "lteq", day(t.End)))
	}
	if t.Territory != "" {
		constraints = append(constraints, constraint("spatial", "eq", t.Territory))
	}
	o := object{"@type": []string{"sc:CreativeWork", "odrl:Offer"}, "name": "Licence " + m.Parameters.Path.Licence, "url": t.LicenceURL,
		"odrl:assigner": object{"@type": "odrl:Party", "name": t.Creator},
		"odrl:permission": object{"@type": "odrl:Permission", "odrl:constraint": constraints,
			"odrl:action": object{"@id": "tdm:mine", "name": "Text and data mining, here: " + m.Parameters.Path.Purpose}}}
	if t.Recipient != "" {
		o["odrl:assignee"] = object{"@type": "odrl:Party", "name": t.Recipient}
	}
	return o
}

// activity says that the pictures were marked, by what, and what proves it.
func activity(m *delivery.Manifest, manifestSHA256 string, t Terms) object {
	used := []object{{"@id": "urn:sha256:" + manifestSHA256, "@type": "prov:Entity", "prov:label": "Manifest of the delivery, kept by the bank"}}
	if t.Commitment != "" {
		used = append(used, object{"@id": "urn:filigrane:commitment:" + t.Commitment, "@type": "prov:Entity", "prov:label": "Commitment in the transparency log"})
	}
	return object{"@type": "prov:Activity", "prov:label": fmt.Sprintf("Marked by Filigrane: every picture carries a mark of its concepts, of the work and of this delivery, at %s (%g dB)", m.Parameters.Preset, m.Parameters.PresetDB),
		"prov:used":              used,
		"prov:wasAssociatedWith": object{"@type": []string{"prov:SoftwareAgent"}, "prov:label": "Filigrane " + m.Parameters.CodeVersion}}
}

// pictures is the record set: the pictures joined with the index by their key.
func pictures(m *delivery.Manifest) object {
	column := func(name, description, dataType string, array bool) object {
		f := object{"@type": "cr:Field", "@id": "pictures/" + name, "name": name, "description": description, "dataType": dataType,
			"source": object{"fileObject": ref("index.parquet"), "extract": object{"column": name}}}
		if array {
			f["isArray"], f["arrayShape"] = true, "-1"
		}
		return f
	}
	key := column("key", "Name of the sample in its shard, and key of the index.", "sc:Text", false)
	fields := []object{key}
	if len(m.Images) > 0 {
		key["source"] = object{"fileSet": ref("images"), "extract": object{"fileProperty": "filename"}, "transform": object{"regex": `^([^.]+)\..*$`}}
		key["references"] = object{"fileObject": ref("index.parquet"), "extract": object{"column": "key"}}
		fields = append(fields, object{"@type": "cr:Field", "@id": "pictures/image", "name": "image", "description": "The marked picture.", "dataType": "sc:ImageObject",
			"source": object{"fileSet": ref("images"), "extract": object{"fileProperty": "content"}}})
	}
	fields = append(fields, column("caption", "The text a model is trained with.", "sc:Text", false),
		column("concepts", "Identifiers of the concepts whose mark the picture carries.", "sc:Text", true), column("concept_names", "Names of the concepts.", "sc:Text", true),
		column("work", "Identifier of the work in the bank's catalogue.", "sc:Text", false), column("licence", "The licence under which the picture is delivered.", "sc:URL", false),
		column("sha256", "SHA-256 of the picture's file.", "sc:Text", false), column("width", "Pixels.", "sc:Integer", false), column("height", "Pixels.", "sc:Integer", false),
		column("psnr_db", "Of the file against the unmarked picture, dB.", "sc:Float", false), column("ssim", "Of the file against the unmarked picture.", "sc:Float", false),
		column("iscc_image", "ISCC Image-Code (ISO 24138).", "sc:Text", false))
	return object{"@type": "cr:RecordSet", "@id": "pictures", "name": "pictures", "description": "One record for each picture.", "key": ref("pictures/key"), "field": fields}
}

// croissantFiles reads back the files that a croissant.json lists, and its licence.
func croissantFiles(text []byte) (files []hashed, licence string, err error) {
	var doc struct {
		ConformsTo   string `json:"conformsTo"`
		Licence      string `json:"license"`
		Distribution []struct {
			Type        string `json:"@type"`
			ID          string `json:"@id"`
			SHA256      string `json:"sha256"`
			ContentURL  string `json:"contentUrl"`
			ContentSize string `json:"contentSize"`
		} `json:"distribution"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, "", fmt.Errorf("it is no JSON document: %w", err)
	}
	if doc.ConformsTo != croissantVersion {
		return nil, "", fmt.Errorf("it conforms to %q, not %q", doc.ConformsTo, croissantVersion)
	}
	for _, d := range doc.Distribution {
		if d.Type != "cr:FileObject" {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSuffix(d.ContentSize, " B"), 10, 64)
		if err != nil || d.ID != d.ContentURL {
			return nil, "", fmt.Errorf("its file %q has another URL, or a size that is not in bytes", d.ID)
		}
		files = append(files, hashed{d.ID, d.SHA256, n})
	}
	return files, doc.Licence, nil
}
