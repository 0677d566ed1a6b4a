package registry

import (
	"context"
	"encoding/hex"
	"fmt"
	"math"

	"github.com/filigrane/filigrane/concepts"
)

// Item is what became of one work in a delivery: a file in a shard, or a refusal.
type Item struct {
	Work  concepts.WorkID
	Shard string // name of the shard
	// SHA256 of the delivered file in 64 lower-case hex digits; "" if refused, and so are the next four.
	SHA256       string
	ISCC         string
	Bytes        int64
	PSNRDB, SSIM float64
	// Refusal is the kind of the reason why the work is not in the delivery, "" if it is; Detail explains it.
	Refusal, Detail string
}

var itemsTable = &table{name: "items", cols: columns("tenant i, delivery i, bytes i, psnr_db f, ssim f, sha256 b, work t, shard t, iscc t, refusal t, detail t"),
	order: []string{"delivery", "work"}, fixed: []string{"tenant", "delivery"}, key: []string{"work"}, lookup: "work",
	compare: []string{"sha256", "shard", "iscc", "bytes", "psnr_db", "ssim", "refusal", "detail"}}

const itemColumns = "work, shard, sha256, iscc, bytes, psnr_db, ssim, refusal, detail"

var (
	itemsByWork    = paged("items by work", "s", "SELECT "+itemColumns+" FROM items WHERE delivery = $1 AND work > $2 ORDER BY work", int64(1))
	itemsOf        = lookup("items of works", "SELECT "+itemColumns+" FROM items WHERE delivery = $1 AND "+in("work", 2), int64(1), "w000100", "w000200")
	itemsRefused   = paged("refused items", "ss", "SELECT "+itemColumns+" FROM items WHERE delivery = $1 AND (refusal, work) > ($2, $3) AND refusal > '' ORDER BY refusal, work", int64(1))
	itemsInShard   = paged("items in a shard", "s", "SELECT "+itemColumns+" FROM items WHERE delivery = $1 AND shard = $2 AND work > $3 ORDER BY work", int64(1), "shard-000001")
	itemsCounted   = lookup("items counted", "SELECT refusal, count(*), sum(bytes) FROM items WHERE delivery = $1 GROUP BY refusal", int64(2))
	deliveriesWith = paged("deliveries of a work", "i", "SELECT i.delivery, (SELECT id FROM deliveries WHERE n = i.delivery), i.shard, i.sha256, i.iscc, i.bytes, i.psnr_db, i.ssim, i.refusal, i.detail FROM items i"+
		" WHERE i.tenant = $1 AND i.work = $2 AND i.delivery > $3 ORDER BY i.delivery", int64(1), "w000100")
)

func (i Item) row(tenant, delivery int64) ([]any, error) {
	if err := i.Work.Check(); err != nil {
		return nil, err
	}
	hash, err := hex.DecodeString(i.SHA256)
	marked := err == nil && len(hash) == 32 && hex.EncodeToString(hash) == i.SHA256 && i.Shard != "" && i.Bytes > 0 && i.Refusal == "" && i.Detail == ""
	refused := i.Refusal != "" && i.Detail != "" && i.SHA256 == "" && i.ISCC == "" && i.Bytes == 0 && i.PSNRDB == 0 && i.SSIM == 0
	if !marked && !refused {
		return nil, fmt.Errorf("registry: work %s: an item has either shard, SHA-256 and size, or the kind and detail of a refusal: %+v", i.Work, i)
	}
	if math.IsNaN(i.PSNRDB) || math.IsInf(i.PSNRDB, 0) || math.IsNaN(i.SSIM) || math.IsInf(i.SSIM, 0) {
		return nil, fmt.Errorf("registry: work %s: PSNR %g dB, SSIM %g: give finite numbers", i.Work, i.PSNRDB, i.SSIM)
	}
	for what, s := range map[string]string{"shard": i.Shard, "ISCC": i.ISCC, "refusal": i.Refusal} {
		if err := checkText(what, s, mostID); err != nil {
			return nil, err
		}
	}
	if err := checkText("detail", i.Detail, mostText); err != nil {
		return nil, err
	}
	if hash == nil {
		hash = []byte{}
	}
	return []any{tenant, delivery, i.Bytes, i.PSNRDB, i.SSIM, hash, string(i.Work), i.Shard, i.ISCC, i.Refusal, i.Detail}, nil
}

// PutItems keeps what became of works in a delivery that is running. A refused work may be marked later; one that is
// marked stays as it is: ErrConflict names the first that came back different, so that nothing is ever delivered twice.
func (r *Registry) PutItems(ctx context.Context, s Scope, id string, items []Item) (c Changes, err error) {
	err = r.write(ctx, s, "PutItems", func(t *tx, tenant int64) error {
		d, err := delivery(ctx, t, tenant, id)
		if err != nil {
			return err
		}
		list := make([][]any, len(items))
		for i, item := range items {
			if list[i], err = item.row(tenant, d.n); err != nil {
				return err
			}
		}
		if len(list) == 0 {
			return nil
		}
		found, err := t.existing(ctx, itemsTable, []any{tenant, d.n}, itemsTable.distinct(list))
		if err != nil {
			return err
		}
		if c, err = t.putOver(ctx, itemsTable, list, found); err != nil {
			return err
		}
		if c.Added+c.Changed > 0 && d.State != Running {
			return fmt.Errorf("%w: delivery %s is %s: only a running one takes items", ErrState, id, d.State)
		}
		for _, row := range list {
			is, there := found[keyText(itemsTable.pick(row, itemsTable.key))]
			if there && len(is.compare[0].([]byte)) > 0 && !same(is.compare, itemsTable.pick(row, itemsTable.compare)) {
				return fmt.Errorf("%w for work %s of delivery %s: it was delivered as %x and stays so", ErrConflict, row[6], id, is.compare[0])
			}
		}
		return nil
	})
	if err != nil {
		c = Changes{}
	}
	return c, err
}

func scanItem(r rows) (i Item, err error) {
	var hash []byte
	err = r.Scan(&i.Work, &i.Shard, &hash, &i.ISCC, &i.Bytes, &i.PSNRDB, &i.SSIM, &i.Refusal, &i.Detail)
	i.SHA256 = hex.EncodeToString(hash)
	return i, err
}

// itemsList runs a call that lists items of a delivery.
func (r *Registry) itemsList(ctx context.Context, s Scope, call, id string, p Page, st *statement, keys func(Item) []any, more ...any) (l List[Item], err error) {
	err = r.read(ctx, s, call, func(q querier, tenant int64) error {
		d, err := delivery(ctx, q, tenant, id)
		if err != nil {
			return err
		}
		l, err = list(ctx, q, st, append([]any{d.n}, more...), p, func(r rows) (Item, []any, error) {
			i, err := scanItem(r)
			return i, keys(i), err
		})
		return err
	})
	return l, err
}

func byWork(i Item) []any { return []any{string(i.Work)} }

// Items lists the items of a delivery by work.
func (r *Registry) Items(ctx context.Context, s Scope, id string, p Page) (List[Item], error) {
	return r.itemsList(ctx, s, "Items", id, p, itemsByWork, byWork)
}

// ItemsByShard lists the items of one shard by work.
func (r *Registry) ItemsByShard(ctx context.Context, s Scope, id, shard string, p Page) (l List[Item], err error) {
	if err := checkID("shard", shard); err != nil {
		return l, err
	}
	return r.itemsList(ctx, s, "ItemsByShard", id, p, itemsInShard, byWork, shard)
}

// RefusedItems lists the refused works of a delivery by kind and work.
func (r *Registry) RefusedItems(ctx context.Context, s Scope, id string, p Page) (List[Item], error) {
	return r.itemsList(ctx, s, "RefusedItems", id, p, itemsRefused, func(i Item) []any { return []any{i.Refusal, string(i.Work)} })
}

// ItemsOf gives the items of those of the works that have one, by work: what a resumed job leaves out. At most
// MostPerPage.
func (r *Registry) ItemsOf(ctx context.Context, s Scope, id string, works []concepts.WorkID) (found []Item, err error) {
	err = r.read(ctx, s, "ItemsOf", func(q querier, tenant int64) error {
		d, err := delivery(ctx, q, tenant, id)
		if err != nil {
			return err
		}
		keys, err := keysOf("works", works)
		if err != nil {
			return err
		}
		return lookupEach(ctx, q, itemsOf.text, []any{d.n}, keys, func(r rows) error {
			i, err := scanItem(r)
			found = append(found, i)
			return err
		})
	})
	sortBy(found, func(i Item) concepts.WorkID { return i.Work })
	return found, err
}

// ItemCount counts items of a delivery: those of one kind of refusal, "" for the marked ones.
type ItemCount struct {
	Items, Bytes int64
}

// CountItems counts the items of a delivery by kind of refusal. It reads all of them: some seconds for 10^7.
func (r *Registry) CountItems(ctx context.Context, s Scope, id string) (counts map[string]ItemCount, err error) {
	counts = map[string]ItemCount{}
	err = r.read(ctx, s, "CountItems", func(q querier, tenant int64) error {
		d, err := delivery(ctx, q, tenant, id)
		if err != nil {
			return err
		}
		return each(ctx, q, itemsCounted.text, []any{d.n}, func(r rows) error {
			var kind string
			var c ItemCount
			err := r.Scan(&kind, &c.Items, &c.Bytes)
			counts[kind] = c
			return err
		})
	})
	return counts, err
}

// WorkDelivery is an item with the delivery it is in.
type WorkDelivery struct {
	Delivery string
	Item
}

// DeliveriesOfWork lists the deliveries that a work was in or refused from, in the order they came: what a contributor
// asks.
func (r *Registry) DeliveriesOfWork(ctx context.Context, s Scope, work concepts.WorkID, p Page) (l List[WorkDelivery], err error) {
	if err := work.Check(); err != nil {
		return l, err
	}
	err = r.read(ctx, s, "DeliveriesOfWork", func(q querier, tenant int64) error {
		l, err = list(ctx, q, deliveriesWith, []any{tenant, string(work)}, p, func(r rows) (d WorkDelivery, keys []any, err error) {
			var n int64
			var hash []byte
			err = r.Scan(&n, &d.Delivery, &d.Shard, &hash, &d.ISCC, &d.Bytes, &d.PSNRDB, &d.SSIM, &d.Refusal, &d.Detail)
			d.Work, d.SHA256 = work, hex.EncodeToString(hash)
			return d, []any{n}, err
		})
		return err
	})
	return l, err
}

// ReceivedItems lists, by work, the items of a delivery that another tenant made for this one.
func (r *Registry) ReceivedItems(ctx context.Context, s Scope, grantor, id string, p Page) (l List[Item], err error) {
	err = r.read(ctx, s, "ReceivedItems", func(q querier, tenant int64) error {
		d, err := received(ctx, q, tenant, grantor, id)
		if err != nil {
			return err
		}
		l, err = list(ctx, q, itemsByWork, []any{d.n}, p, func(r rows) (Item, []any, error) {
			i, err := scanItem(r)
			return i, byWork(i), err
		})
		return err
	})
	return l, err
}
