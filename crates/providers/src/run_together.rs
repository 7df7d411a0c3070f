//! Signatures over names and values that run together, with nothing between them: a form whose bytes are grouped anew has
//! the same signature. Decides whether a form could be such a regrouping of one about another message.

/// The parameter that names the message in a provider's forms.
pub(crate) struct IdParameter {
    /// What each such name ends with, in lower case.
    pub(crate) suffix: &'static str,
    /// All such names, in lower case.
    pub(crate) names: &'static [&'static str],
    pub(crate) id_bytes: usize,
    /// Whether text of that length, in lower case, is an id.
    pub(crate) is_id: fn(&str) -> bool,
}

const NAME_BYTES_MAX: usize = 64;

/// Whether the pairs hide a message id within a name or a value, or have a name that is none. A form of the provider has
/// each id as the whole value of a parameter that is known to hold one.
pub(crate) fn hides_an_id<'a>(
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
    parameter: &IdParameter,
) -> bool {
    let mut pairs: Vec<(&str, &str)> = pairs.collect();
    pairs.sort_unstable();
    let is_name = |name: &str| {
        (1..=NAME_BYTES_MAX).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    if !pairs.iter().all(|(name, _)| is_name(name)) {
        return true;
    }
    let mut text = String::new();
    let mut shown = 0;
    for (name, value) in &pairs {
        let (name, value) = (name.to_ascii_lowercase(), value.to_ascii_lowercase());
        if parameter.names.contains(&name.as_str()) && (parameter.is_id)(&value) {
            shown += 1;
        }
        text.push_str(&name);
        text.push_str(&value);
    }
    let ids = text.match_indices(parameter.suffix).filter(|(at, suffix)| {
        let start = at + suffix.len();
        text.get(start..start + parameter.id_bytes).is_some_and(parameter.is_id)
    });
    ids.count() != shown
}
