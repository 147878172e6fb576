package train

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/sirupsen/logrus"
	"golang.org/x/term"
)

// progress shows how far a run is: a bar when stderr is a terminal, else one log
// line per epoch.
type progress struct {
	title string
	quiet bool
	bar   *progressbar.ProgressBar
}

func newProgress(title string, quiet bool, done, total int) *progress {
	if title == "" {
		title = "training"
	}
	p := &progress{title: title, quiet: quiet}
	if !quiet && term.IsTerminal(int(os.Stderr.Fd())) {
		p.bar = newBar(os.Stderr, title, done, total)
	}
	return p
}

// newBar draws on w, at most ten times a second.
func newBar(w io.Writer, title string, done, total int) *progressbar.ProgressBar {
	bar := progressbar.NewOptions(total, progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(title),
		progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish())
	_ = bar.Set(done) // a bar that cannot be drawn must not end a training
	return bar
}

func (p *progress) add() {
	if p.bar != nil {
		_ = p.bar.Add(1)
	}
}

func (p *progress) epoch(e Epoch) {
	switch {
	case p.quiet:
	case p.bar != nil:
		p.bar.Describe(fmt.Sprintf("%s: epoch %d/%d, loss %.4f", p.title, e.Number+1, e.Epochs, e.Loss))
	default:
		logrus.WithFields(logrus.Fields{"epoch": e.Number + 1, "epochs": e.Epochs, "loss": fmt.Sprintf("%.4f", e.Loss),
			"rate": fmt.Sprintf("%.3g", e.LearnRate)}).Info(p.title)
	}
}

func (p *progress) close() {
	if p.bar != nil {
		_ = p.bar.Clear() // also of a run that did not finish
	}
}

// Epoch is what a [Loop] reports of an epoch.
type Epoch struct {
	Number    int     // from 0
	Epochs    int     // of the whole run
	Steps     int     // made so far, with those before Start
	Loss      float64 // mean over the epoch's steps in this run
	LearnRate float64 // of the last step
}
