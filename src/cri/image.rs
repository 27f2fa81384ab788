//! Images as a runtime lists them.
//!
//! Left out: pinned images, users of an image, mountpoints of the image file system.
//!
//! Book: `book/src/node/cri.md`.

use std::sync::Arc;

/// `Image`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its id: the digest of its configuration.
    pub id: Arc<str>,
    /// `repo_tags`: names by which it was pulled.
    pub repo_tags: Vec<Arc<str>>,
    /// Size in bytes.
    pub size: u64,
}

/// `FilesystemUsage` of the image store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FilesystemUsage {
    /// Bytes in use.
    pub used_bytes: u64,
    /// Number of inodes in use.
    pub inodes_used: u64,
}

/// The name with the tag that is meant when none is given: `nginx` is `nginx:latest`
/// (`pkg/util/parsers`). A name with a digest stays as it is.
pub fn with_default_tag(image: &str) -> std::borrow::Cow<'_, str> {
    let last = image.rsplit('/').next().unwrap_or(image);
    if image.contains('@') || last.contains(':') {
        image.into()
    } else {
        format!("{image}:latest").into()
    }
}

/// Whether a name can be an image reference (`distribution/reference`, without its length rules):
/// lower-case path components of letters, digits and single separators, then tag or digest.
pub fn is_reference(image: &str) -> bool {
    let (name, digest) = image
        .split_once('@')
        .map_or((image, None), |(n, d)| (n, Some(d)));
    let digest_fits = digest.is_none_or(|d| {
        d.split_once(':').is_some_and(|(algorithm, hex)| {
            !algorithm.is_empty() && hex.len() >= 32 && hex.bytes().all(|b| b.is_ascii_hexdigit())
        })
    });
    let slash = name.rfind('/').map_or(0, |at| at + 1);
    let (path, tag) = match name[slash..].find(':') {
        Some(colon) => (&name[..slash + colon], Some(&name[slash + colon + 1..])),
        None => (name, None),
    };
    let tag_fits = tag.is_none_or(|t| {
        (1..=128).contains(&t.len())
            && !t.starts_with(['.', '-'])
            && t.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
    });
    let (host, path) = match path.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
        _ => ("", path),
    };
    let host_fits = host
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b));
    digest_fits && tag_fits && host_fits && path.split('/').all(is_path_component)
}

fn is_path_component(part: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    part.bytes().next().is_some_and(inner)
        && part.bytes().next_back().is_some_and(inner)
        && part.bytes().all(|b| inner(b) || b"._-".contains(&b))
        && !part.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_images_are_told_from_other_text() {
        for good in [
            "nginx",
            "nginx:1.25",
            "registry.k8s.io/pause:3.10",
            "localhost:5000/a/b:t_1",
        ] {
            assert!(is_reference(good), "{good}");
        }
        for bad in [
            "",
            "Nginx",
            "a b",
            "x:",
            "x//y",
            "-a",
            "nginx@sha256:12",
            "nginx:-t",
            "a/",
        ] {
            assert!(!is_reference(bad), "{bad}");
        }
    }

    #[test]
    fn a_name_without_tag_means_latest() {
        assert_eq!(with_default_tag("nginx"), "nginx:latest");
        assert_eq!(
            with_default_tag("host:5000/nginx"),
            "host:5000/nginx:latest"
        );
        assert_eq!(with_default_tag("nginx:1"), "nginx:1");
        assert_eq!(with_default_tag("nginx@sha256:00"), "nginx@sha256:00");
    }
}
