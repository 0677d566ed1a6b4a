-- A function of its own says what taking a text to pieces costs: with the price of array_to_tsvector, which PostgreSQL
-- takes for that of an addition, it would sometimes rather read all works than the index.
CREATE FUNCTION words_of(terms text) RETURNS tsvector LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 100
AS $$ BEGIN RETURN array_to_tsvector(string_to_array(terms, ' ')); END $$;

-- The index keeps up to gin_pending_list_limit of new rows aside, unsorted, which doubles the rate of a bulk load.
CREATE INDEX works_terms ON works USING gin (words_of(terms));
