package detect

import "fmt"

// Level says how far a reading goes to find out what happened to a picture since it was marked.
type Level string

const (
	// Fast tries the whole picture resized and the declared size, every shift, flip and quarter turn.
	Fast Level = "fast"
	// Standard tries every scale from 0.25 to 2 besides.
	Standard Level = "standard"
	// Deep tries rotations of up to 15 degrees and mild changes of aspect besides, and looks for pieces in windows.
	Deep Level = "deep"
)

// Levels lists the levels, quickest first.
func Levels() []Level { return []Level{Fast, Standard, Deep} }

// LevelByName returns a level, or an error that lists the names.
func LevelByName(name string) (Level, error) {
	for _, l := range Levels() {
		if string(l) == name {
			return l, nil
		}
	}
	return "", fmt.Errorf("detect: unknown level %q; choose fast, standard or deep", name)
}
