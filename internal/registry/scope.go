package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Errors that calls wrap. What is wrong with the content of an argument is another error that names it.
var (
	ErrNotFound  = errors.New("registry: not found")                 // or another tenant's, which is the same
	ErrForbidden = errors.New("registry: not allowed to this role")  //
	ErrConflict  = errors.New("registry: there is something else")   // content that may not change came back different
	ErrState     = errors.New("registry: not possible in its state") // of a delivery
	ErrDamaged   = errors.New("registry: the database is damaged")   // or was changed by others
)

// Role says what somebody is to a tenant, or a tenant to others.
type Role string

// The roles.
const (
	Operator     Role = "operator"      // runs the installation: makes tenants, backs up; reads nobody's works
	Bank         Role = "bank"          // an image bank's staff: everything of its tenant
	Provider     Role = "provider"      // an AI provider: what was licensed and delivered to it, of any tenant
	RightsHolder Role = "rights_holder" // somebody who keeps his own works here, without licensing or delivering them
	Expert       Role = "expert"        // a judge's or a party's expert: reads what evidence rests on, no parties
)

// Roles lists the roles.
func Roles() []Role { return []Role{Operator, Bank, Provider, RightsHolder, Expert} }

// Scope says for whom a call is made. Tenant is the id of the tenant whose rows the call may touch, "" for the
// operator, who has none. Who made the request, and that he may have this scope, is the caller's to check.
type Scope struct {
	Tenant string
	Role   Role
}

// Roles that may make a call, as matrix has them.
var (
	operator = []Role{Operator}
	bank     = []Role{Bank}
	provider = []Role{Provider}
	holders  = []Role{Bank, RightsHolder}
	readers  = []Role{Bank, RightsHolder, Expert}
	experts  = []Role{Bank, Expert}
	everyone = []Role{Bank, Provider, RightsHolder, Expert}
)

// matrix says which roles may make which call. A call without a line panics, and a test finds it.
var matrix = map[string][]Role{
	"AddTenant": operator, "Tenants": operator, "Dump": operator, "Snapshot": operator, "Sums": operator,
	"Tenant": everyone,

	"PutWorks": holders, "SetWorkState": holders, "Recall": bank,
	"Work": readers, "WorksByID": readers, "WorksBySHA256": readers, "Works": readers, "WorksAt": readers, "SearchWorks": readers, "CountWorks": readers,

	"PutParties": holders, "PutShares": holders, "Parties": holders, "PartyByIdentifier": holders, "SharesOf": holders, "WorksOfParty": holders,

	"PutConcepts": bank, "PutMemberships": bank, "Concepts": experts, "MembershipsOf": experts, "WorksOfConcept": experts,

	"FreezeCatalogue": bank, "AddCatalogue": bank, "Catalogues": experts, "CatalogueVersion": experts, "CheckCatalogue": experts,
	"LoadCatalogue": experts, "CatalogueWorks": experts, "CatalogueConcepts": experts, "CatalogueMembers": experts, "CatalogueDiff": experts, "CatalogueGone": experts,

	"AssignConcepts": bank, "AssignWorks": bank, "Codebook": experts, "ConceptNumbers": experts, "WorkNumbers": experts,

	"PutLicence": bank, "RevokeLicence": bank, "Licence": experts, "Licences": experts, "ReceivedLicences": provider,

	"AddDelivery": bank, "MoveDelivery": bank, "Delivery": experts, "Deliveries": experts, "DeliveriesUnder": experts, "DeliverySteps": experts, "ReceivedDeliveries": provider,
	"PutItems": bank, "Items": experts, "ItemsOf": experts, "RefusedItems": experts, "ItemsByShard": experts, "DeliveriesOfWork": experts, "CountItems": experts,
	"ReceivedItems": provider,

	"PutRefusals": holders, "DropRefusals": holders, "Refusals": readers,
	"PutReservations": holders, "Reservations": readers, "ReservationsOf": readers,
	"PutObjects": holders, "DropObjects": holders, "Objects": readers, "ObjectsAt": readers, "ObjectsBySHA256": readers, "HaveObjects": readers, "WorkStates": readers,
	"MissingObjects": readers, "SiteRules": holders, "SetSiteRules": holders,
	"PartiesByID": holders, "PartiesByIdentifier": holders,
	"PutTodos": holders, "Todos": holders, "TodosOf": holders,
	"AddJob": holders, "MoveJob": holders, "RestartJob": holders, "SetJobResult": holders, "IssueParts": holders, "BeginPart": holders, "EndPart": holders, "LeavePart": holders, "ReopenParts": holders, "NoteParts": holders,
	"Job": readers, "Jobs": readers, "JobParts": readers,
	"AddWorker": operator, "BeatWorker": operator, "EndWorker": operator, "BuryWorkers": operator, "Workers": operator,
	"Removals": experts, "RemovalsOf": experts, "ReceivedRemovals": provider,

	"Masters": holders, "SetMasters": holders, "KeyFingerprint": experts, "ClaimKey": bank, "BankTable": holders, "SetBankTable": holders,
	"PutStory": bank, "Story": experts, "AddMarking": bank, "Markings": experts, "PutDescriptors": holders, "DescriptorsOf": holders, "Counts": holders,
}

// MayCall tells whether a role may make a call, by the name of the method.
func MayCall(role Role, call string) bool { return slices.Contains(matrix[call], role) }

// enter checks a scope and gives the number of its tenant, 0 for the operator.
func (r *Registry) enter(ctx context.Context, q querier, s Scope, call string) (int64, error) {
	roles, known := matrix[call]
	if !known {
		panic("registry: " + call + " has no line in the matrix of roles")
	}
	if !slices.Contains(roles, s.Role) {
		return 0, fmt.Errorf("%w: %s as %s", ErrForbidden, call, s.Role)
	}
	if s.Role == Operator {
		if s.Tenant != "" {
			return 0, fmt.Errorf("%w: an operator has no tenant; leave it out", ErrForbidden)
		}
		return 0, nil
	}
	return r.tenant(ctx, q, s.Tenant)
}

var tenantNumber = lookup("tenant by id", "SELECT n FROM tenants WHERE id = $1", "bank-a")

// tenant gives the number of a tenant.
func (r *Registry) tenant(ctx context.Context, q querier, id string) (n int64, err error) {
	if n, ok := r.numbers.Load(id); ok {
		return n.(int64), nil
	}
	found := false
	if checkID("tenant", id) == nil {
		if found, err = one(ctx, q, tenantNumber.text, []any{id}, &n); err != nil {
			return 0, err
		}
	}
	if !found {
		return 0, fmt.Errorf("%w: tenant %.130q", ErrNotFound, id)
	}
	if r.bound == nil { // else the tenant may yet be rolled back
		r.numbers.Store(id, n)
	}
	return n, nil
}

// reading gives what reads outside transactions.
func (r *Registry) reading() querier {
	switch {
	case r.bound != nil:
		return r.bound
	case r.pool != nil:
		return pgConn{r.pool}
	}
	return r.statements
}

// read runs a call that reads.
func (r *Registry) read(ctx context.Context, s Scope, call string, f func(q querier, tenant int64) error) error {
	q := r.reading()
	tenant, err := r.enter(ctx, q, s, call)
	if err != nil {
		return err
	}
	return f(q, tenant)
}

// write runs a call that writes, in a transaction.
func (r *Registry) write(ctx context.Context, s Scope, call string, f func(t *tx, tenant int64) error) error {
	tenant, err := r.enter(ctx, r.reading(), s, call)
	if err != nil {
		return err
	}
	return r.transact(ctx, false, func(t *tx) error { return f(t, tenant) })
}

// checkText returns an error unless s can be kept: UTF-8 without NUL (which PostgreSQL cannot keep) of at most most bytes.
func checkText(what, s string, most int) error {
	switch {
	case len(s) > most:
		return fmt.Errorf("registry: %s %.40q... has %d bytes: at most %d are kept", what, s, len(s), most)
	case !utf8.ValidString(s):
		return fmt.Errorf("registry: %s %.80q is not UTF-8: convert it on import", what, s)
	case strings.IndexByte(s, 0) >= 0:
		return fmt.Errorf("registry: %s %.80q holds a NUL: remove it on import", what, s)
	}
	return nil
}

// Bounds of texts in bytes. What is indexed must fit into a page of PostgreSQL's indexes, a third of 8 KiB.
const (
	mostID   = 128
	mostName = 1024
	mostText = 64 << 10
	mostJSON = 1 << 20
)

// checkID returns an error unless id is a name of at most 128 bytes without control characters.
func checkID(what, id string) error {
	if id == "" || strings.ContainsFunc(id, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("registry: %s %.130q: give 1 to %d bytes without control characters", what, id, mostID)
	}
	return checkText(what, id, mostID)
}
