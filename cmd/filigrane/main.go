// Command filigrane marks catalogue pictures per concept before they are delivered as training data, and
// finds the marks again.
//
//	filigrane init bank --bank "Example Bank"
//	cd bank
//	filigrane import /photos --csv /photos/metadata.csv
//	filigrane concepts --by folder --by creator --catalogue spring
//	filigrane deliver --catalogue spring -o /deliveries/acme --licence acme-2026
//	filigrane detect suspects/
//
// JSON goes to standard output, one value a line; everything for people goes to standard error. Exit codes:
//
//	0  found; done
//	1  not found: detect attributed nothing in any input
//	2  wrong usage or input; the rest of a batch is done nevertheless
//	3  an error inside Filigrane
//	130  interrupted
//
// import and deliver exit 0 where at least one picture was taken, however many were refused: each
// refusal is listed with its reason in the JSON, and counted on standard error.
//
// Keys are never given on the command line: see "filigrane keys --help".
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"

	"github.com/alecthomas/kong"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.LookupEnv))
}

// globals are the flags of every verb.
type globals struct {
	Workspace  string       `short:"w" default:"." placeholder:"DIR" help:"The workspace; default is the one in the current directory or above it."`
	Registry   string       `placeholder:"ADDRESS" help:"The registry: postgres://user@host/database, or the path of a file. Default: the one of the workspace."`
	Settings   settingsFlag `placeholder:"FILE" help:"JSON object of flag values, such as {\"fwer\": 1e-6, \"pretty\": true}. Default: $XDG_CONFIG_HOME/filigrane/settings.json if it exists."`
	KeyCommand string       `placeholder:"CMD" help:"Run CMD by the shell; its standard output is the master key in hex."`
	Pretty     bool         `help:"Indent the JSON."`
	Quiet      bool         `short:"q" help:"No progress and no remarks on standard error; errors only."`
	Jobs       int          `short:"j" default:"0" placeholder:"N" help:"Pictures worked on at once; 0 means one per processor."`
	Version    versionFlag  `help:"Print the version and exit."`
}

// grammar is the command line.
type grammar struct {
	globals

	Init         initCmd         `cmd:"" help:"Make a workspace: the bank's name and a new master key."`
	Import       importCmd       `cmd:"" help:"Take the pictures of a folder or bucket into the registry; masters are only read."`
	Works        worksCmd        `cmd:"" help:"List, show and find works."`
	Todos        todosCmd        `cmd:"" help:"What a person has to settle before works can be delivered or paid for."`
	Refusals     refusalsCmd     `cmd:"" help:"Files that are no works, and why."`
	Reservations reservationsCmd `cmd:"" help:"Who reserves training on what, and who lifted it, with the evidence."`
	Concepts     conceptsCmd     `cmd:"" help:"Group the works into concepts and freeze them as a catalogue."`
	Deliver      deliverCmd      `cmd:"" help:"Mark a catalogue and write a training set with its manifest."`
	JobVerbs     jobsCmd         `cmd:"" name:"jobs" help:"What is being made: list, pause, resume, retry and cancel jobs."`
	Worker       workerCmd       `cmd:"" help:"Work on the bank's jobs, on as many machines as wanted."`
	Licence      licenceCmd      `cmd:"" help:"What customers may do: record, list and revoke licences."`
	Deliveries   deliveriesCmd   `cmd:"" help:"What was delivered, to whom and what of it is to be removed."`
	Recall       recallCmd       `cmd:"" help:"Take works back: no delivery holds them any more, and customers are told."`
	Embed        embedCmd        `cmd:"" aliases:"encode" help:"Mark single pictures or folders."`
	Detect       detectCmd       `cmd:"" aliases:"decode" help:"Look for marks in pictures."`
	Iscc         isccCmd         `cmd:"" name:"iscc" help:"Print the ISCC of pictures: content codes by which near duplicates are found."`
	Royalty      royaltyCmd      `cmd:"" help:"Turn detections into amounts."`
	Demo         demoCmd         `cmd:"" help:"Do everything once with sample photographs and write a report."`
	Bench        benchCmd        `cmd:"" help:"Measure the detector."`
	Status       statusCmd       `cmd:"" help:"Where the registry is and what it holds."`
	Backup       backupCmd       `cmd:"" help:"Write everything the registry holds into a file."`
	Restore      restoreCmd      `cmd:"" help:"Read a backup into an empty registry."`
	Tenants      tenantsCmd      `cmd:"" help:"The banks and others who share the registry."`
	Keys         keysCmd         `cmd:"" help:"About the master key."`
	About        aboutCmd        `cmd:"" name:"version" help:"Print version, profile and platform as JSON."`
}

const description = `Marks pictures per concept before they become training data, and finds the marks again.

JSON goes to standard output, messages to standard error.
Exit codes: 0 found or done, 1 not found, 2 usage or input error, 3 internal error.
Every flag can be given by a variable too: --key-command by FILIGRANE_KEY_COMMAND. The command line comes first, then variables, then --settings.`

// run is the whole program but for its surroundings.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer, env func(string) (string, bool)) (code int) {
	defer func() {
		if p := recover(); p != nil {
			code = exitInternal
			fmt.Fprintf(stderr, "filigrane: internal error: %v; please report it with the command you gave\n", p)
			if _, ok := env("FILIGRANE_DEBUG"); ok {
				stderr.Write(debug.Stack())
			}
		}
	}()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var g grammar
	set := newSettings(env)
	parser, err := kong.New(&g, kong.Name("filigrane"), kong.Description(description), kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { panic(earlyExit(code)) }), kong.Resolvers(set), kong.Bind(set),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}))
	if err != nil {
		panic(err)
	}
	apart(parser.Model.Node)
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, early, err := parse(parser, args, set)
	switch {
	case early != nil:
		return int(*early)
	case err != nil:
		fmt.Fprintf(stderr, "filigrane: %s; see 'filigrane --help'\n", oneLine(err))
		return exitInput
	}
	s := &session{ctx: ctx, stdin: stdin, stdout: stdout, stderr: newConsole(stderr), env: env, globals: g.globals, verb: command.Command()}
	err = command.Run(s)
	code = codeOf(err)
	if err != nil && !errors.Is(err, errNotFound) && !errors.Is(err, errTold) {
		fmt.Fprintf(stderr, "filigrane: %s\n", oneLine(err))
	}
	return code
}

// apart keeps the examples of every verb's help from being joined to one paragraph.
func apart(n *kong.Node) {
	n.Detail = strings.ReplaceAll(n.Detail, "\nExample: ", "\n\nExample: ")
	for _, child := range n.Children {
		apart(child)
	}
}

// earlyExit is how --help and --version leave the parser.
type earlyExit int

func parse(parser *kong.Kong, args []string, set *settings) (ctx *kong.Context, early *earlyExit, err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case earlyExit:
			early = &p
		default:
			panic(p)
		}
	}()
	if err := set.loadDefault(parser.Model); err != nil {
		return nil, nil, err
	}
	ctx, err = parser.Parse(args)
	return ctx, nil, err
}

// oneLine puts an error of several lines on one.
func oneLine(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' }), "; ")
}
