//! Where the wrappers of unseal sources are. `installation.json` says it too, but whoever
//! can write that file, or the row that it is with several servers, is not to choose which
//! library this process loads or where credentials are sent: its list of sources is
//! vouched for by the root alone, and the root is what the wrapper is asked for.

use serde::Deserialize;

/// Where the wrapper of one unseal source is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub enum UnsealAt {
    /// A PKCS#11 token, at the module with this absolute path.
    Module(String),
    /// A TPM 2.0, at the device or socket with this absolute path.
    Device(String),
    /// A key management service.
    Kms {
        /// The region.
        region: String,
        /// Another address than the region's own.
        endpoint: Option<String>,
        /// The file with the authorities to trust for that address, PEM.
        ca: Option<String>,
    },
}

/// As it is written in the configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    module: Option<String>,
    device: Option<String>,
    region: Option<String>,
    endpoint: Option<String>,
    ca: Option<String>,
}

impl TryFrom<Written> for UnsealAt {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let Written {
            module,
            device,
            region,
            endpoint,
            ca,
        } = written;
        if region.is_none() && (endpoint.is_some() || ca.is_some()) {
            return Err("endpoint and ca say nothing without region");
        }
        if endpoint.is_none() && ca.is_some() {
            return Err("ca says nothing without endpoint");
        }
        let absolute = |path: String, at: fn(String) -> Self| {
            if path.starts_with('/') {
                Ok(at(path))
            } else {
                Err("module, device and ca are absolute paths")
            }
        };
        match (module, device, region) {
            (Some(module), None, None) => absolute(module, Self::Module),
            (None, Some(device), None) => absolute(device, Self::Device),
            (None, None, Some(_)) if ca.as_ref().is_some_and(|ca| !ca.starts_with('/')) => {
                Err("module, device and ca are absolute paths")
            }
            (None, None, Some(region)) => Ok(Self::Kms {
                region,
                endpoint,
                ca,
            }),
            _ => Err(
                "takes one of module (a PKCS#11 token), device (a TPM) and region (a key management service)",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<UnsealAt, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn each_kind_of_wrapper_has_its_place() {
        for (text, expected) in [
            (
                "module = \"/usr/lib/m.so\"",
                UnsealAt::Module("/usr/lib/m.so".to_owned()),
            ),
            (
                "device = \"/dev/tpmrm1\"",
                UnsealAt::Device("/dev/tpmrm1".to_owned()),
            ),
            (
                "region = \"eu-central-1\"",
                UnsealAt::Kms {
                    region: "eu-central-1".to_owned(),
                    endpoint: None,
                    ca: None,
                },
            ),
            (
                "region = \"x\"\nendpoint = \"https://kms.example\"\nca = \"/ca.pem\"",
                UnsealAt::Kms {
                    region: "x".to_owned(),
                    endpoint: Some("https://kms.example".to_owned()),
                    ca: Some("/ca.pem".to_owned()),
                },
            ),
        ] {
            assert_eq!(read(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_says_nothing_or_too_much_is_refused() {
        let one = "takes one of module (a PKCS#11 token), device (a TPM) and region (a key management service)";
        let path = "module, device and ca are absolute paths";
        for (text, why) in [
            ("", one),
            ("module = \"/m\"\ndevice = \"/d\"", one),
            ("module = \"/m\"\nregion = \"x\"", one),
            ("module = \"m.so\"", path),
            ("device = \"tpm\"", path),
            (
                "region = \"x\"\nendpoint = \"https://a\"\nca = \"ca.pem\"",
                path,
            ),
            (
                "region = \"x\"\nca = \"/ca.pem\"",
                "ca says nothing without endpoint",
            ),
            (
                "module = \"/m\"\nendpoint = \"https://a\"",
                "endpoint and ca say nothing without region",
            ),
        ] {
            assert_eq!(read(text).unwrap_err(), why, "{text}");
        }
        let unknown = read("path = \"/m\"").unwrap_err();
        assert!(unknown.starts_with("unknown field `path`"), "{unknown}");
    }
}
