package app

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// What a download of a run holds in memory: the short outputs of a group of files, and one
// long output.
const (
	// outputFiles is how many files are read at a time with their outputs.
	outputFiles = 64
	// shortOutput is the longest output that is read together with others, in bytes; a
	// longer one is read by itself.
	shortOutput = 32 << 10
	// listedFiles is how many files are read at a time without outputs.
	listedFiles = 500
)

// Outputs writes the files of a run with their outputs, in one of its formats, as it reads
// them: of a run of any size it holds a few megabytes. A run that is running, or not done,
// gives what it has. Close it when it is written.
//
// The methods that write are for one goroutine, and one of them is called once. An error
// is one of reading or of the writer; what was written before is then not complete.
type Outputs struct {
	// Run is the run as it was before the first file was read. If it was closed then and
	// is not continued meanwhile, the outputs are all that there will be.
	Run core.Run

	svc   *Service
	actor core.Actor
	leave func()
}

// Outputs begins a download of a run's outputs. Refusals: as Run, and
// core.CodeTooManyDownloads.
func (s *Service) Outputs(ctx context.Context, actor core.Actor, id core.RunID) (*Outputs, error) {
	view, err := s.Run(ctx, actor, id)
	if err != nil {
		return nil, err
	}
	leave, err := s.downloads.enter(view.Run.Tenant, s.opts.MaxDownloads, s.opts.MaxTenantDownloads, "outputs")
	if err != nil {
		return nil, err
	}
	return &Outputs{Run: view.Run, svc: s, actor: actor, leave: leave}, nil
}

// Close ends the download. A repeat has no effect.
func (o *Outputs) Close() { o.leave() }

// Complete reports whether nothing more is to come, unless the run is continued.
func (o *Outputs) Complete() bool { return o.Run.Status.Closed() }

// each calls do with the files that the filter selects, in order. With outputs, each
// completed file has its whole output.
func (o *Outputs) each(ctx context.Context, outputs bool, statuses []core.FileStatus, do func(core.File) error) error {
	filter := ports.FileFilter{Limit: listedFiles, Statuses: statuses}
	if outputs {
		filter.Limit, filter.OutputBytes = outputFiles, shortOutput
	}
	for {
		files, err := o.svc.RunFiles(ctx, o.actor, o.Run.ID, filter)
		if err != nil {
			return err
		}
		for _, f := range files {
			if outputs && f.OutputBytes > int64(len(f.Output)) {
				if f, err = o.svc.FileOutput(ctx, o.actor, o.Run.ID, f.Index); err != nil {
					return err
				}
			}
			if err := do(f); err != nil {
				return err
			}
		}
		if len(files) < filter.Limit {
			return nil
		}
		filter.From = files[len(files)-1].Index + 1
	}
}
