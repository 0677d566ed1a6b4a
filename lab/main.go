// Command lab runs the experiments that show what generative models give back of a delivery's marks.
//
//	go run ./lab run main        the main table: deliveries, models, outputs, measurements
//	go run ./lab run questions   one run for each question
//	go run ./lab report          docs/lab.json, docs/lab.md and its plots from what was measured
//
// The models are trained by the Python programs beside it, which read the shards as any customer would and know
// no key. Everything lies in build/lab; a run that was interrupted goes on where it stopped.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

type grammar struct {
	Dir       string `default:"build/lab" help:"Where masters, deliveries, models and outputs are kept. Default ${default}."`
	Photos    string `default:"testdata/photos" help:"The photographs: one folder for each concept. Default ${default}."`
	Filigrane string `name:"filigrane" default:"bin/filigrane" help:"The program under test. Default ${default}."`
	Slots     int    `default:"2" help:"Trainings at once, one thread each. Default ${default}."`

	Run    runCmd    `cmd:"" help:"Run a group of experiments: main, questions or long. What is finished is kept."`
	Report reportCmd `cmd:"" help:"Write the tables and plots of everything measured so far."`
	Sample sampleCmd `cmd:"" help:"Copy a few hundred outputs into testdata/generated, with their model card."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var g grammar
	command := kong.Parse(&g, kong.Name("lab"), kong.Description("Trains small generative models on deliveries and measures what they give back."))
	command.BindTo(ctx, (*context.Context)(nil))
	if err := command.Run(&g); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}
