package watermillqueue

import (
	"context"
	"log/slog"

	"github.com/ThreeDotsLabs/watermill"
)

// logger is Watermill's log in ours. What Watermill calls information is of use
// in debugging, so it is debug here; and nothing is built for a level that
// is off, since some of it is said for every message.
type logger struct {
	log *slog.Logger
}

var _ watermill.LoggerAdapter = logger{}

func (l logger) Error(msg string, err error, fields watermill.LogFields) {
	if isClosing(err) {
		l.debug(slog.LevelDebug, msg, fields)
		return
	}
	l.log.Error("watermill: "+msg, append(attrs(fields), "error", err)...)
}

func (l logger) Info(msg string, fields watermill.LogFields) { l.debug(slog.LevelDebug, msg, fields) }

func (l logger) Debug(msg string, fields watermill.LogFields) {
	l.debug(slog.LevelDebug-4, msg, fields)
}

func (l logger) Trace(msg string, fields watermill.LogFields) {
	l.debug(slog.LevelDebug-8, msg, fields)
}

func (l logger) debug(level slog.Level, msg string, fields watermill.LogFields) {
	if ctx := context.Background(); l.log.Enabled(ctx, level) {
		l.log.Log(ctx, level, "watermill: "+msg, attrs(fields)...)
	}
}

func (l logger) With(fields watermill.LogFields) watermill.LoggerAdapter {
	return logger{l.log.With(attrs(fields)...)}
}

func attrs(fields watermill.LogFields) []any {
	list := make([]any, 0, 2*len(fields)+2)
	for name, value := range fields {
		list = append(list, name, value)
	}
	return list
}
