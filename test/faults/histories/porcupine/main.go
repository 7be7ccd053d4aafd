// Checks conditional writes with Porcupine, in place of the search of linearize.py:
//
//	python3 ../check.py history.jsonl --registers | go run .
//
// Prints a line per key. Exit code 1 when one of them is not linearizable.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/anishathalye/porcupine"
)

const timeout = time.Minute

type step struct {
	Invoke   int64   `json:"invoke"`
	Complete int64   `json:"complete"`
	Needs    *string `json:"needs"`
	Gives    *string `json:"gives"`
	Refused  bool    `json:"refused"`
	Required bool    `json:"required"`
}

type register struct {
	Key   string  `json:"key"`
	Final *string `json:"final"`
	Steps []step  `json:"steps"`
}

// A state is a value, or "" for none: values are never empty.
func text(value *string) string {
	if value == nil {
		return ""
	}
	return *value
}

// A step that need not have happened leaves the state as it is, or takes effect.
var model = porcupine.NondeterministicModel{
	Init: func() []interface{} { return []interface{}{""} },
	Step: func(state, input, _ interface{}) []interface{} {
		s := input.(step)
		fits := state.(string) == text(s.Needs)
		if s.Refused {
			fits = !fits
		}
		next := []interface{}{}
		if fits && s.Refused {
			next = append(next, state)
		} else if fits {
			next = append(next, text(s.Gives))
		}
		if !s.Required {
			next = append(next, state)
		}
		return next
	},
}

func operations(r register) []porcupine.Operation {
	end := int64(0)
	for _, s := range r.Steps {
		if s.Required && s.Complete > end {
			end = s.Complete
		}
		if s.Invoke > end {
			end = s.Invoke
		}
	}
	found := []porcupine.Operation{}
	for i, s := range r.Steps {
		complete := s.Complete
		if !s.Required {
			complete = end + 3
		}
		found = append(found, porcupine.Operation{ClientId: i, Input: s, Call: s.Invoke, Return: complete})
	}
	// The end is read after everything: a write of the final value over itself. What was not answered
	// may have taken effect until then.
	last := step{Needs: r.Final, Gives: r.Final, Required: true}
	return append(found, porcupine.Operation{
		ClientId: len(r.Steps), Input: last, Call: end + 4, Return: end + 5,
	})
}

func main() {
	var registers []register
	text, err := io.ReadAll(os.Stdin)
	if err == nil {
		err = json.Unmarshal(text, &registers)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	code := 0
	for _, r := range registers {
		result := porcupine.CheckOperationsTimeout(model.ToModel(), operations(r), timeout)
		fmt.Printf("%s: %d steps, %s\n", r.Key, len(r.Steps), result)
		if result == porcupine.Illegal {
			code = 1
		}
	}
	os.Exit(code)
}
