// Copyright (c) 2026 Granary contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Command hook-template renders one template of a backup or restore hook.
//
// Users of Stash write them for Go's text/template with the functions of sprig, which no Python
// library reads. Standard input is {"template": "...", "data": {...}}; the text goes to standard
// output. What fails leaves standard output empty, says why in one line, and ends with status 1.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"text/template"

	"github.com/Masterminds/sprig/v3"
)

// A template comes from whoever may write a BackupConfiguration: it gets neither the environment
// of the operator's or the job's container nor look-ups from inside the cluster's network.
var withheld = []string{"env", "expandenv", "getHostByName"}

func main() {
	text, err := render(os.Stdin)
	if err == nil {
		_, err = os.Stdout.Write(text)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func render(from io.Reader) ([]byte, error) {
	var request struct {
		Template *string        `json:"template"`
		Data     map[string]any `json:"data"`
	}
	decoder := json.NewDecoder(from)
	decoder.UseNumber()
	if err := decoder.Decode(&request); err != nil {
		return nil, fmt.Errorf("the request is not JSON: %w", err)
	}
	if request.Template == nil {
		return nil, errors.New("the request has no template")
	}
	functions := sprig.TxtFuncMap()
	for _, name := range withheld {
		delete(functions, name)
	}
	parsed, err := template.New("hook").Funcs(functions).Parse(*request.Template)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	if err := parsed.Execute(&text, plain(request.Data)); err != nil {
		return nil, err
	}
	return text.Bytes(), nil
}

// plain gives whole numbers as integers, as the API's own types have them: a float64, as JSON is
// read by default, compares with no integer and prints a million as 1e+06.
func plain(value any) any {
	switch value := value.(type) {
	case json.Number:
		if whole, err := value.Int64(); err == nil {
			return int(whole)
		}
		fraction, _ := value.Float64()
		return fraction
	case []any:
		for at := range value {
			value[at] = plain(value[at])
		}
	case map[string]any:
		for name := range value {
			value[name] = plain(value[name])
		}
	}
	return value
}
