// A minimal broadcaster in Go with gorilla/websocket, to compare with: values in memory, one pool of
// connections per subscribed key or list, a patch computed once per pool, and one WriteMessage per connection,
// one after another under a write deadline, by one goroutine per pool. A goroutine per connection reads.
// It has no history, no bounds and no storage.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const writeTimeout = 15 * time.Second

type entry struct {
	Created int64           `json:"created"`
	Updated int64           `json:"updated"`
	Index   string          `json:"index"`
	Path    string          `json:"path"`
	Data    json.RawMessage `json:"data"`
}

type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

type envelope struct {
	Snapshot bool   `json:"snapshot"`
	Version  string `json:"version"`
	Data     any    `json:"data"`
}

// pool holds the connections of one key or list. Its lock covers a broadcast and a join.
type pool struct {
	mutex       sync.Mutex
	connections map[*websocket.Conn]bool
	positions   map[string]int
	last        *entry
	changes     chan entry
}

var (
	mutex    sync.Mutex
	entries  = map[string]entry{}
	pools    = map[string]*pool{}
	upgrader = websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
)

func main() {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("on %s\n", listener.Addr())
	log.Fatal(http.Serve(listener, http.HandlerFunc(serve)))
}

func serve(w http.ResponseWriter, r *http.Request) {
	key := strings.TrimPrefix(r.URL.Path, "/")
	if r.Header.Get("Upgrade") == "websocket" {
		subscribe(key, w, r)
		return
	}
	if r.Method == http.MethodPost {
		write(key, w, r)
		return
	}
	mutex.Lock()
	defer mutex.Unlock()
	json.NewEncoder(w).Encode(state(key))
}

func write(key string, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || !json.Valid(body) {
		http.Error(w, "not JSON", http.StatusBadRequest)
		return
	}
	index := key[strings.LastIndex(key, "/")+1:]
	mutex.Lock()
	now := time.Now().UnixNano()
	value, known := entries[key]
	if known {
		value.Updated = now
	} else {
		value = entry{Created: now, Index: index, Path: key}
	}
	value.Data = body
	entries[key] = value
	for _, name := range []string{key, strings.TrimSuffix(key, index) + "*"} {
		if reached := pools[name]; reached != nil {
			reached.changes <- value
		}
	}
	mutex.Unlock()
	fmt.Fprintf(w, `{"index":%q}`, index)
}

func subscribe(key string, w http.ResponseWriter, r *http.Request) {
	connection, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	joined := join(key, connection)
	go func() {
		for {
			if _, _, err := connection.ReadMessage(); err != nil {
				joined.mutex.Lock()
				delete(joined.connections, connection)
				joined.mutex.Unlock()
				connection.Close()
				return
			}
		}
	}()
}

// join writes the snapshot and adds the connection in one critical section. Changes that are still
// queued are applied first, so that the snapshot is the state that the next patch is made for.
func join(key string, connection *websocket.Conn) *pool {
	mutex.Lock()
	defer mutex.Unlock()
	joined := pools[key]
	if joined == nil {
		joined = &pool{connections: map[*websocket.Conn]bool{}, changes: make(chan entry, 1000)}
		joined.positions = map[string]int{}
		pools[key] = joined
		remember(joined, state(key))
		go joined.run()
	}
	joined.mutex.Lock()
	defer joined.mutex.Unlock()
	for len(joined.changes) > 0 {
		joined.broadcast(<-joined.changes)
	}
	if joined.send(connection, encode(true, state(key))) {
		joined.connections[connection] = true
	}
	return joined
}

func remember(p *pool, state any) {
	switch held := state.(type) {
	case entry:
		p.last = &held
	case []entry:
		for i, each := range held {
			p.positions[each.Path] = i
		}
	}
}

func (p *pool) run() {
	for change := range p.changes {
		p.mutex.Lock()
		p.broadcast(change)
		p.mutex.Unlock()
	}
}

func (p *pool) broadcast(change entry) {
	frame := encode(false, p.patch(change))
	for connection := range p.connections {
		if !p.send(connection, frame) {
			delete(p.connections, connection)
		}
	}
}

func (p *pool) send(connection *websocket.Conn, frame []byte) bool {
	connection.SetWriteDeadline(time.Now().Add(writeTimeout))
	if connection.WriteMessage(websocket.BinaryMessage, frame) == nil {
		return true
	}
	connection.Close()
	return false
}

// patch gives the operations that turn what the pool's subscribers hold into the new state.
func (p *pool) patch(change entry) []operation {
	if p.last == nil {
		position, known := p.positions[change.Path]
		op := "replace"
		if !known {
			op = "add"
			position = len(p.positions)
			p.positions[change.Path] = position
		}
		return []operation{{op, "/" + strconv.Itoa(position), change}}
	}
	before := p.last
	p.last = &change
	operations := []operation{}
	if before.Created != change.Created {
		operations = append(operations, operation{"replace", "/created", change.Created})
		operations = append(operations, operation{"replace", "/index", change.Index})
		operations = append(operations, operation{"replace", "/path", change.Path})
	}
	if before.Updated != change.Updated {
		operations = append(operations, operation{"replace", "/updated", change.Updated})
	}
	return append(operations, fields(before.Data, change.Data)...)
}

func fields(before, after json.RawMessage) []operation {
	var old, new map[string]json.RawMessage
	if json.Unmarshal(before, &old) != nil || json.Unmarshal(after, &new) != nil || len(old) != len(new) {
		return []operation{{"replace", "/data", after}}
	}
	operations := []operation{}
	for name, value := range new {
		if held, known := old[name]; !known {
			return []operation{{"replace", "/data", after}}
		} else if !bytes.Equal(held, value) {
			operations = append(operations, operation{"replace", "/data/" + name, value})
		}
	}
	return operations
}

func encode(snapshot bool, data any) []byte {
	version := strconv.FormatInt(time.Now().UnixNano(), 16)
	frame, err := json.Marshal(envelope{snapshot, version, data})
	if err != nil {
		log.Fatal(err)
	}
	return frame
}

// state is what a GET answers; the caller holds the lock. Lists are in the order of their creation, as
// subscribers hold them.
func state(key string) any {
	if !strings.HasSuffix(key, "*") {
		value, known := entries[key]
		if !known {
			value.Data = json.RawMessage("{}")
		}
		return value
	}
	list := []entry{}
	for path, value := range entries {
		if strings.HasPrefix(path, strings.TrimSuffix(key, "*")) {
			list = append(list, value)
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Created < list[j].Created })
	return list
}
