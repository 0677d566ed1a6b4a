package table

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// The fields a column can hold.
const (
	FieldPath              = "path"
	FieldName              = "name"
	FieldID                = "id"
	FieldTitle             = "title"
	FieldHeadline          = "headline"
	FieldDescription       = "description"
	FieldCreator           = "creator"
	FieldCopyright         = "copyright"
	FieldCredit            = "credit"
	FieldSource            = "source"
	FieldSupplier          = "supplier"
	FieldKeywords          = "keywords"
	FieldDateCreated       = "date_created"
	FieldUsageTerms        = "usage_terms"
	FieldWebStatement      = "web_statement"
	FieldDataMining        = "data_mining"
	FieldConstraints       = "other_constraints"
	FieldDigitalSourceType = "digital_source_type"
	FieldISCC              = "iscc"
	FieldRightsHolder      = "rights_holder" // this one and those below may have a number: rights_holder_2
	FieldShare             = "share"
	FieldISNI              = "isni"
	FieldIPIName           = "ipi_name"
	FieldIPIBase           = "ipi_base"
	FieldPLUS              = "plus_id"
)

// names are the columns known, in English and French, as plain() writes them.
var names = func() map[string]string {
	out := map[string]string{}
	for field, list := range map[string]string{
		FieldPath:              "file path key object_key object fichier chemin chemin_fichier chemin_du_fichier emplacement",
		FieldName:              "filename file_name image_filename nom_fichier nom_du_fichier nom_de_fichier",
		FieldID:                "id work_id image_id asset_id identifier reference ref identifiant id_image numero ref_image reference_image cote",
		FieldTitle:             "title object_name titre intitule",
		FieldHeadline:          "headline accroche",
		FieldDescription:       "description caption legende",
		FieldCreator:           "creator author photographer byline by_line artist auteur photographe createur artiste auteurs",
		FieldCopyright:         "copyright copyright_notice mention_copyright mention_legale",
		FieldCredit:            "credit credit_line mention_de_credit",
		FieldSource:            "source provenance",
		FieldSupplier:          "supplier image_supplier agency fournisseur agence",
		FieldKeywords:          "keywords keyword tags mots_cles mots_clefs mot_cle etiquettes",
		FieldDateCreated:       "date date_created creation_date date_de_creation date_creation date_prise_de_vue date_de_prise_de_vue",
		FieldUsageTerms:        "usage_terms rights_usage_terms conditions conditions_d_utilisation conditions_utilisation",
		FieldWebStatement:      "web_statement license_url licence_url web_statement_of_rights url_licence",
		FieldDataMining:        "data_mining datamining tdm fouille fouille_de_donnees fouille_de_textes_et_de_donnees",
		FieldConstraints:       "other_constraints constraints contraintes autres_contraintes",
		FieldDigitalSourceType: "digital_source_type digitalsourcetype type_de_source_numerique",
		FieldISCC:              "iscc iscc_code",
		FieldRightsHolder:      "rights_holder rights_holders rightsholder copyright_owner owner ayant_droit ayants_droit ayant_droits titulaire titulaire_des_droits titulaires",
		FieldShare:             "share rights_share percentage part quote_part pourcentage part_pct",
		FieldISNI:              "isni",
		FieldIPIName:           "ipi ipi_name ipi_name_number ipi_nom numero_ipi",
		FieldIPIBase:           "ipi_base ipi_base_number numero_de_base_ipi",
		FieldPLUS:              "plus_id plusid plus",
	} {
		for name := range strings.FieldsSeq(list) {
			if out[name] != "" {
				panic("table: the column name " + name + " has two meanings")
			}
			out[name] = field
		}
	}
	return out
}()

// numbered are the fields a row may have several of.
var numbered = map[string]bool{FieldRightsHolder: true, FieldShare: true, FieldISNI: true, FieldIPIName: true, FieldIPIBase: true, FieldPLUS: true}

// FieldOf gives the field a column's name stands for, "" if it is not known: "Ayant droit 2" is "rights_holder.2".
func FieldOf(header string) string {
	name := plain(header)
	if f := names[name]; f != "" {
		return f
	}
	base := strings.TrimRight(name, "0123456789")
	number := strings.TrimLeft(name[len(base):], "0")
	if f := names[strings.TrimRight(base, "_")]; numbered[f] && number != "" && len(number) <= 2 {
		return f + "." + number
	}
	return ""
}

// plain writes a column's name in small letters without accents, with one "_" for what is neither letter nor digit.
func plain(s string) string {
	var b strings.Builder
	gap := false
	for _, r := range norm.NFKD.String(strings.ToLower(s)) {
		switch {
		case unicode.Is(unicode.Mn, r):
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			if gap && b.Len() > 0 {
				b.WriteByte('_')
			}
			gap = false
			b.WriteRune(r)
		default:
			gap = true
		}
	}
	return b.String()
}
