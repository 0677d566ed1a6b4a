package delivery

import (
	"maps"
	"slices"
	"testing"
	"testing/fstest"
)

// golden are the sums of whole deliveries, over the sorted lines "<SHA-256> <name>\n" of their files. They were made by the
// program of commit b978567, which made a delivery in one process and in one go; a change of how the work is
// divided changes none of them. (A change of what is written does, and then says so here.)
var golden = map[string]string{
	"each":                                  "d2ad1f073fbd22856b881e83290458cb22518248f2e3e1b1dc9f6c8150905597",
	"packed, named by content, with rights": "a99c67aabc84c388db8af61ae7bbdab069a2b02fd227687816e6955aa8fa8c1a",
	"pool":                                  "3ef826b8dd923668836182c5ea8f0a9af6057eb8f781dc4a39277c30062279c0",
	"increment":                             "d26cceb87c80b144ee828e078857d908dd281309993e0bcdb22c4baefc6b8725",
}

// goldenSpecs are small deliveries of every kind.
func goldenSpecs(t testing.TB) map[string]func() (Spec, fstest.MapFS) {
	return map[string]func() (Spec, fstest.MapFS){
		"each": func() (Spec, fstest.MapFS) {
			files := smallSet(t)
			return smallSpec(t, files), files
		},
		"packed, named by content, with rights": func() (Spec, fstest.MapFS) {
			files := smallSet(t)
			spec := smallSpec(t, files)
			spec.Shards, spec.Captions, spec.Format = ShardsZstd, CaptionsUntouched, FormatJPEG
			spec.Rights = Rights{DataMining: "http://ns.useplus.org/ldf/vocab/DMI-ALLOWED", TrainingMining: TrainingMining{Training: UseAllowed}}
			return spec, files
		},
		"pool": func() (Spec, fstest.MapFS) {
			files := twoConcepts(t)
			files["bad/bad.png"] = &fstest.MapFile{Data: []byte("no picture")}
			return poolSpec(t, files, "square:128", 42), files
		},
		"increment": func() (Spec, fstest.MapFS) {
			files := twoConcepts(t)
			before := poolSpec(t, files, "square:128", 42)
			first := deliver(t, before, files, openStore(t, t.TempDir()))
			history, err := NewHistory(first.Manifest)
			if err != nil {
				t.Fatal(err)
			}
			for i, name := range slices.Sorted(maps.Keys(files)) {
				if i%3 == 0 {
					delete(files, name)
				}
			}
			maps.Copy(files, crops(t, 5, 128, map[string]string{"leaves": "plants/leaf-veins.jpg"}))
			spec := poolSpec(t, files, "square:128", 42)
			spec.Previous = history
			return spec, files
		},
	}
}

// sumOf is the sum of a folder's contents.
func sumOf(files map[string]string) string {
	var text []byte
	for _, name := range slices.Sorted(maps.Keys(files)) {
		text = append(text, hashOf([]byte(files[name]))+" "+name+"\n"...)
	}
	return hashOf(text)
}
