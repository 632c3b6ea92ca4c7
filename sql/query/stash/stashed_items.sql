-- Documents of which something was put aside.
SELECT DISTINCT d.item FROM ai._vectorizer_stash d WHERE d.id = $1
