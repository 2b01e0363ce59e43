package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"sync"
	"time"

	"github.com/vmware/govmomi/vim25/types"
)

// Actions of an injection.
const (
	actionFault      = "fault"       // answer the call with a fault, and do nothing
	actionTaskFault  = "task-fault"  // let the call's task end with a fault, and do nothing
	actionDelay      = "delay"       // do it later
	actionDropReply  = "drop-reply"  // do it, and close the connection instead of answering
	actionDropBefore = "drop-before" // close the connection, and do nothing
)

// injection is trouble for the next calls of a method: an API method's name, or "PUT /folder", "GET /folder", "PUT /nfc".
type injection struct {
	Method            string `json:"method"`
	Action            string `json:"action"`
	Fault             string `json:"fault,omitempty"`
	Message           string `json:"message,omitempty"`
	DelayMilliseconds int    `json:"delay_ms,omitempty"`
	Count             int    `json:"count"`
}

// injections are those still to come.
type injections struct {
	mutex sync.Mutex
	list  []*injection
}

// take uses up one injection of the method with one of the actions.
func (i *injections) take(method string, actions ...string) *injection {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	for _, found := range i.list {
		for _, action := range actions {
			if found.Method == method && found.Action == action && found.Count > 0 {
				found.Count--
				taken := *found
				return &taken
			}
		}
	}
	return nil
}

func (i *injections) pending() []injection {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	left := []injection{}
	for _, found := range i.list {
		if found.Count > 0 {
			left = append(left, *found)
		}
	}
	return left
}

// serve lists, adds and clears injections.
func (i *injections) serve(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
		reply(w, i.pending())
	case http.MethodDelete:
		i.mutex.Lock()
		i.list = nil
		i.mutex.Unlock()
		reply(w, []injection{})
	case http.MethodPost:
		var wanted injection
		decoder := json.NewDecoder(r.Body)
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&wanted); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := wanted.check(); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		i.mutex.Lock()
		i.list = append(i.list, &wanted)
		i.mutex.Unlock()
		reply(w, i.pending())
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

func (i *injection) check() error {
	if i.Count == 0 {
		i.Count = 1
	}
	switch i.Action {
	case actionFault, actionTaskFault:
		_, err := newFault(i.Fault, i.Message)
		return err
	case actionDelay:
		if i.DelayMilliseconds <= 0 {
			return fmt.Errorf("a delay needs delay_ms")
		}
	case actionDropReply, actionDropBefore:
	default:
		return fmt.Errorf("the action %q is none of fault, task-fault, delay, drop-reply and drop-before", i.Action)
	}
	return nil
}

func (i *injection) wait() { time.Sleep(time.Duration(i.DelayMilliseconds) * time.Millisecond) }

// fault is the one that the injection names, which check has made sure of.
func (i *injection) fault() types.BaseMethodFault {
	fault, err := newFault(i.Fault, i.Message)
	if err != nil {
		return systemFault(err)
	}
	return fault
}

// newFault makes a fault of the API by its name.
func newFault(name, message string) (types.BaseMethodFault, error) {
	kind, ok := types.TypeFunc()(name)
	if !ok {
		return nil, fmt.Errorf("the API has no fault %q", name)
	}
	fault, ok := reflect.New(kind).Interface().(types.BaseMethodFault)
	if !ok {
		return nil, fmt.Errorf("%s is no fault", name)
	}
	if message != "" {
		*fault.GetMethodFault() = said(message)
	}
	return fault, nil
}

func reply(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}
