//! Settings of a process of ours that nothing else may change.

use std::ffi::CStr;

use pgrx::pg_sys;

/// Settings that would end the process, and with it the work of everybody, if code of an owner or an owner of
/// the database set them: an error would be FATAL, time would be up, and no memory for so many buffers of
/// temporary tables is FATAL, too. They have these values here, and nobody sets them.
pub const LOCKED: &[(&CStr, &CStr)] = &[
    (c"exit_on_error", c"off"),
    #[cfg(any(feature = "pg17", feature = "pg18"))]
    (c"transaction_timeout", c"0"),
    (c"temp_buffers", c"1024"),
];

/// Has Postgres refuse to change [`LOCKED`], from now on and in this process, however it is asked: by SET, by
/// set_config(), by a clause of a function.
pub fn lock() {
    // SAFETY: on the main thread. The records live as long as the process, and belong to it alone. What an
    // internal setting is set to, nobody may change.
    unsafe {
        #[cfg(feature = "pg15")]
        let (records, number) = (pg_sys::get_guc_variables(), pg_sys::GetNumConfigOptions());
        #[cfg(not(feature = "pg15"))]
        let (records, number) = {
            let mut number = 0;
            let records = pg_sys::get_guc_variables(&mut number);
            (records, number)
        };
        for place in 0..usize::try_from(number).unwrap_or_default() {
            let record = *records.add(place);
            let name = CStr::from_ptr((*record).name);
            if LOCKED.iter().any(|(locked, _)| *locked == name) {
                (*record).context = pg_sys::GucContext::PGC_INTERNAL;
            }
        }
    }
}

/// Sets a setting for the life of the process.
pub fn pin(name: &CStr, value: &CStr) {
    // SAFETY: on the main thread, while nobody acts as anybody else, with names and values that Postgres knows.
    unsafe {
        pg_sys::SetConfigOption(
            name.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_SUSET,
            pg_sys::GucSource::PGC_S_OVERRIDE,
        );
    }
}
