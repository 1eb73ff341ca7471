package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/godino-ml/godino/dino/report"
)

type reportCommand struct {
	Run_        string `arg:"" name:"run" placeholder:"RUN" help:"Folder of the run: --output_dir of train."`
	TensorBoard bool   `name:"tensorboard" group:"Run" help:"Also write its numbers as event files for TensorBoard, into tensorboard/ in that folder."`
}

func (*reportCommand) Help() string {
	return `Examples:
  dino report runs/photos
  dino report runs/photos --tensorboard && tensorboard --logdir runs

Makes report.html of a run again from its log, its settings and its folder report/. A run keeps the page by itself while it trains; this is
for one of an earlier version, or after a new version of the program. What the run's files do not have, the page says.`
}

func (c *reportCommand) Run(t *terminal) error {
	path, err := report.Write(c.Run_)
	if errors.Is(err, fs.ErrNotExist) {
		return dataError(err)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(t.out, "report    %s\n", path)
	if c.TensorBoard {
		path, err := report.WriteTensorBoard(c.Run_)
		if err != nil {
			return err
		}
		fmt.Fprintf(t.out, "events    %s\n", path)
	}
	return nil
}
