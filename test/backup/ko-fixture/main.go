// Writes the folder `db` as the Go server's storage layer does: one LevelDB row per key, whose value is
// the JSON of the entry. Run it with `go run .` in this folder; the tests need only what it wrote.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"

	"github.com/syndtr/goleveldb/leveldb"
)

// object has the fields of an entry in the order the older server writes them.
type object struct {
	Created int64           `json:"created"`
	Updated int64           `json:"updated"`
	Index   string          `json:"index"`
	Path    string          `json:"path,omitempty"`
	Data    json.RawMessage `json:"data"`
}

const start = int64(1700000000123456789)

func open() *leveldb.DB {
	db, err := leveldb.OpenFile("db", nil)
	if err != nil {
		log.Fatal(err)
	}
	return db
}

func put(db *leveldb.DB, key, index string, created, updated int64, data string) {
	value, err := json.Marshal(object{created, updated, index, key, json.RawMessage(data)})
	if err != nil {
		log.Fatal(err)
	}
	raw(db, key, value)
}

func raw(db *leveldb.DB, key string, value []byte) {
	if err := db.Put([]byte(key), value, nil); err != nil {
		log.Fatal(err)
	}
}

func main() {
	if err := os.RemoveAll("db"); err != nil {
		log.Fatal(err)
	}
	db := open()
	for i := 0; i < 300; i++ {
		index := fmt.Sprintf("%016x", start+int64(i))
		put(db, "items/"+index, index, start+int64(i), 0, fmt.Sprintf(`{"n":%d,"text":"line %d"}`, i, i))
	}
	put(db, "settings", "settings", start, start+1, `{"old":true}`)
	put(db, "gone", "gone", start, 0, `1`)
	db.Close()

	// Opened again, the log becomes a table; what follows stays in a log.
	db = open()
	put(db, "settings", "settings", start, start+7, `{"big":12345678901234567890,"exact":1.10,"html":"<b>&</b>","ü":"\u2028"}`)
	put(db, "users/jane_doe", "jane_doe", start+500, start+600, `[1,2.50,{"deep":null}]`)
	put(db, "pivot/items", "items", start+9, 0, `1700000000123456999`)
	if err := db.Delete([]byte("gone"), nil); err != nil {
		log.Fatal(err)
	}
	raw(db, "broken/empty", []byte{})
	raw(db, "broken/text", []byte("http://10.0.0.1:8800"))
	raw(db, "broken/cut", []byte(`{"created":1700000000000000000,"updated":0,"index":"cut","path":"broken/cut","da`))
	raw(db, "broken/nodata", []byte(`{"created":1700000000000000000,"updated":0,"index":"nodata"}`))
	raw(db, "broken/bytes", []byte("{\"created\":1,\"updated\":0,\"index\":\"bytes\",\"data\":\"\xff\xfe\"}"))
	raw(db, "broken/stamp", []byte(`{"created":"yesterday","updated":0,"index":"stamp","data":1}`))
	raw(db, "broken key!", []byte(`{"created":1700000000000000000,"updated":0,"index":"x","data":1}`))
	db.Close()
	// The engine's diary holds times of day and nothing that is read again.
	for _, name := range []string{"db/LOG", "db/CURRENT.bak"} {
		if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
			log.Fatal(err)
		}
	}
}
