package httpapi

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/redrive/redrive/core"
)

// maxReceiptLines bounds an answer. A receipt has one line for each file of each attempt,
// up to 10,000 times eleven. The receipt of a run with one attempt is always one answer.
const maxReceiptLines = 10_000

// receiptPlace is where a page of a receipt begins.
type receiptPlace struct {
	attempt int // its position, not its number
	line    int
}

// getReceipt is GET /workflow-runs/{id}/receipt. A long one comes in pages; an attempt
// may begin on one page and go on in the next.
func (a *api) getReceipt(w http.ResponseWriter, r *request) error {
	id, err := r.runID()
	if err != nil {
		return err
	}
	limit, err := r.queryInt("limit", maxReceiptLines, 1, maxReceiptLines)
	if err != nil {
		return err
	}
	list, err := a.listing(r, "receipt", "")
	if err != nil {
		return err
	}
	place, err := list.place()
	if err != nil {
		return err
	}
	from, err := parseReceiptPlace(place)
	if err != nil {
		return err
	}
	receipt, err := a.svc.Receipt(r.Context(), r.actor, id)
	if err != nil {
		return err
	}
	page, next := receiptPage(receipt, from, int(limit))
	answer := toReceipt(page)
	if next != nil {
		answer.NextCursor = list.next(w, strconv.Itoa(next.attempt)+"/"+strconv.Itoa(next.line))
	}
	return writeTagged(w, r, answer)
}

// receiptPage cuts a page out of a receipt, and gives where the next one begins; nil if
// this was the last. A page from beyond the end is empty.
func receiptPage(r core.Receipt, from receiptPlace, limit int) (page core.Receipt, next *receiptPlace) {
	page = r
	page.Attempts = nil
	for i := from.attempt; i < len(r.Attempts); i++ {
		part := r.Attempts[i]
		begin := 0
		if i == from.attempt {
			begin = min(from.line, len(part.Lines))
		}
		if limit == 0 && len(part.Lines) > begin {
			return page, &receiptPlace{attempt: i, line: begin}
		}
		end := min(len(part.Lines), begin+limit)
		limit -= end - begin
		part.Lines = part.Lines[begin:end]
		page.Attempts = append(page.Attempts, part)
		if end < len(r.Attempts[i].Lines) {
			return page, &receiptPlace{attempt: i, line: end}
		}
	}
	return page, nil
}

// parseReceiptPlace gives where to go on; an empty place is the beginning.
func parseReceiptPlace(place string) (receiptPlace, error) {
	if place == "" {
		return receiptPlace{}, nil
	}
	attempt, line, slash := strings.Cut(place, "/")
	a, err := strconv.ParseUint(attempt, 10, 31)
	l, lineErr := strconv.ParseUint(line, 10, 31)
	if !slash || err != nil || lineErr != nil {
		return receiptPlace{}, badCursor()
	}
	return receiptPlace{attempt: int(a), line: int(l)}, nil
}
