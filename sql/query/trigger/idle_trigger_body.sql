BEGIN
    -- A column of the primary key that this vectorizer goes by was dropped.
    RETURN NULL;
END
