CREATE INDEX works_terms ON works USING gin (array_to_tsvector(string_to_array(terms, ' '))) WITH (fastupdate = off);
