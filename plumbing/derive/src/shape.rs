//! The type of a field, analyzed by its name as clap's derive does.

use syn::{GenericArgument, PathArguments, Type};

/// How often an option may be given, and with which values.
pub(crate) enum Shape<'a> {
    /// `bool`
    Flag,
    /// `Option<T>`
    Maybe(&'a Type),
    /// `Option<Option<T>>`
    MaybeWith(&'a Type),
    /// `Vec<T>`
    List(&'a Type),
    /// `T`
    Always(&'a Type),
}

impl Shape<'_> {
    pub(crate) fn of(ty: &Type) -> Shape<'_> {
        if is(ty, "bool") {
            return Shape::Flag;
        }
        match (inner(ty, "Option"), inner(ty, "Vec")) {
            (Some(inside), _) => match inner(inside, "Option") {
                Some(value) => Shape::MaybeWith(value),
                None => Shape::Maybe(inside),
            },
            (_, Some(item)) => Shape::List(item),
            _ => Shape::Always(ty),
        }
    }
}

/// Returns whether it is the plain type of this name.
pub(crate) fn is(ty: &Type, name: &str) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == name))
}

/// Returns `T` of `NAME<T>`.
fn inner<'a>(ty: &'a Type, name: &str) -> Option<&'a Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == name)?;
    match &last.arguments {
        PathArguments::AngleBracketed(arguments) => match arguments.args.first()? {
            GenericArgument::Type(ty) => Some(ty),
            _ => None,
        },
        _ => None,
    }
}
