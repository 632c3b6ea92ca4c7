//! Packages of the Open Packaging Conventions: parts in an archive, and what they refer to.

use super::archive::Archive;
use super::bounds::ParseBounds;
use super::{Error, xml};

/// A package of a document.
pub(super) struct Package<'b> {
    pub archive: Archive<'b>,
    pub of: &'static str,
    pub bounds: &'b ParseBounds,
}

/// What a part refers to.
pub(super) struct Relationship {
    pub id: String,
    /// The last word of its type.
    pub kind: String,
    /// The name of another part.
    pub target: String,
}

impl<'b> Package<'b> {
    /// # Errors
    ///
    /// Those of [`Archive::open`].
    pub fn open(bytes: &'b [u8], of: &'static str, bounds: &'b ParseBounds) -> Result<Package<'b>, Error> {
        Ok(Package {
            archive: Archive::open(bytes, of, bounds)?,
            of,
            bounds,
        })
    }

    /// The name of the main part.
    pub fn main(&self) -> Result<String, Error> {
        let relations = self.relations("")?;
        let main = relations.into_iter().find(|relation| relation.kind == "officeDocument");
        let damaged = Error::Damaged {
            of: self.of,
            what: "its main part is missing",
        };
        main.map(|relation| relation.target).ok_or(damaged)
    }

    /// What a part refers to inside of the package; the empty name is that of the package itself.
    pub fn relations(&self, part: &str) -> Result<Vec<Relationship>, Error> {
        let (folder, file) = part.rsplit_once('/').unwrap_or(("", part));
        let name = format!("{folder}/_rels/{file}.rels");
        let Some(text) = self.text(&name)? else {
            return Ok(Vec::new());
        };
        let tree = self.tree(&text)?;
        let inner = tree
            .elements()
            .filter(|relation| relation.get("TargetMode") != Some("External"));
        let relation = |relation: &xml::Element<'_>| {
            let kind = relation.get("Type")?.rsplit('/').next()?.to_owned();
            let target = resolve(folder, relation.get("Target")?);
            Some(Relationship {
                id: relation.get("Id")?.to_owned(),
                kind,
                target,
            })
        };
        Ok(inner.filter_map(relation).collect())
    }

    /// The text of a part, where there is such a part.
    pub fn text(&self, part: &str) -> Result<Option<String>, Error> {
        Ok(self.archive.read(part)?.map(|bytes| xml::decode(&bytes)))
    }

    /// The text of a part without which there is no document.
    pub fn needed(&self, part: &str) -> Result<String, Error> {
        let bytes = self.archive.read_needed(part, "a part of it is missing")?;
        Ok(xml::decode(&bytes))
    }

    /// The tree of a part's text.
    pub fn tree<'t>(&self, text: &'t str) -> Result<xml::Element<'t>, Error> {
        xml::tree(text, self.of, self.bounds)
    }
}

/// The name of a file that one in `folder` calls `target`.
pub(super) fn resolve(folder: &str, target: &str) -> String {
    let mut names: Vec<&str> = match target.strip_prefix('/') {
        Some(_) => Vec::new(),
        None => folder.split('/').filter(|name| !name.is_empty()).collect(),
    };
    for name in target.split('/') {
        match name {
            "" | "." => (),
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    names.join("/")
}
