CREATE VIRTUAL TABLE works_terms USING fts5 (terms, content = 'works', content_rowid = 'n', detail = 'none', tokenize = "ascii tokenchars '~'");
CREATE TRIGGER works_terms_insert AFTER INSERT ON works BEGIN
    INSERT INTO works_terms (rowid, terms) VALUES (new.n, new.terms);
END;
CREATE TRIGGER works_terms_update AFTER UPDATE OF terms ON works WHEN old.terms <> new.terms BEGIN
    INSERT INTO works_terms (works_terms, rowid, terms) VALUES ('delete', old.n, old.terms);
    INSERT INTO works_terms (rowid, terms) VALUES (new.n, new.terms);
END;
