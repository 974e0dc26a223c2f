//! How domain types are written in the stored state: ids as text, times as microseconds, enumerations as their words.

pub(super) mod batch_id {
    use freshet_domain::BatchId;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(in crate::machine) fn serialize<S: Serializer>(id: &BatchId, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(id)
    }

    pub(in crate::machine) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BatchId, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

pub(super) mod build_id {
    use freshet_domain::BuildId;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(in crate::machine) fn serialize<S: Serializer>(id: &BuildId, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(id)
    }

    pub(in crate::machine) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BuildId, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }

    pub(in crate::machine) mod option {
        use freshet_domain::BuildId;
        use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

        pub(in crate::machine) fn serialize<S: Serializer>(id: &Option<BuildId>, out: S) -> Result<S::Ok, S::Error> {
            match id {
                Some(id) => out.collect_str(id),
                None => out.serialize_none(),
            }
        }

        pub(in crate::machine) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<BuildId>, D::Error> {
            let text = Option::<String>::deserialize(from)?;
            text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
        }
    }
}

pub(super) mod time {
    use freshet_domain::Timestamp;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(in crate::machine) fn serialize<S: Serializer>(at: &Timestamp, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_i64(at.as_micros())
    }

    pub(in crate::machine) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        Ok(Timestamp::from_micros(i64::deserialize(from)?))
    }

    pub(in crate::machine) mod option {
        use freshet_domain::Timestamp;
        use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

        pub(in crate::machine) fn serialize<S: Serializer>(at: &Option<Timestamp>, out: S) -> Result<S::Ok, S::Error> {
            at.map(Timestamp::as_micros).serialize(out)
        }

        pub(in crate::machine) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<Timestamp>, D::Error> {
            Ok(Option::<i64>::deserialize(from)?.map(Timestamp::from_micros))
        }
    }
}

pub(super) mod lane {
    use freshet_domain::Lane;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

    pub(in crate::machine) fn serialize<S: Serializer>(lane: &Option<Lane>, out: S) -> Result<S::Ok, S::Error> {
        lane.map(Lane::code).serialize(out)
    }

    pub(in crate::machine) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Lane>, D::Error> {
        let code = Option::<u8>::deserialize(from)?;
        code.map(|code| Lane::from_code(code).ok_or_else(|| D::Error::custom("an unknown lane"))).transpose()
    }
}
