package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/alecthomas/kong"

	"github.com/filigrane/filigrane/internal/raster"
	"github.com/filigrane/filigrane/mark"
)

// version is set by the linker: -ldflags "-X main.version=1.2.3".
var version = ""

func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// versionFlag is --version.
type versionFlag bool

// BeforeReset prints the version and leaves.
func (versionFlag) BeforeReset(app *kong.Kong) error {
	fmt.Fprintln(app.Stdout, "filigrane", versionText())
	app.Exit(exitOK)
	return nil
}

// aboutCmd is "filigrane version".
type aboutCmd struct{}

// Run prints what a bug report needs.
func (aboutCmd) Run(s *session) error {
	return s.emit(struct {
		Version  string `json:"version"`
		Profile  int    `json:"profile"`
		Go       string `json:"go"`
		Platform string `json:"platform"`
		WebP     string `json:"webp_encoder"`
	}{versionText(), mark.Profile1().ID, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH, raster.WebPEncoder()})
}
