//! SunSpec images: the marker, the chain of models, the end.

use super::device::Device;

/// A SunSpec image to be put into a device's holding registers.
#[derive(Clone, Debug)]
pub struct Image {
    base: u16,
    words: Vec<u16>,
}

impl Image {
    /// The marker and the common model; `length` is 65, or 66 with the pad.
    pub fn new(base: u16, length: u16, maker: &str, model: &str, version: &str, serial: &str) -> Self {
        let mut words = vec![0x5375, 0x6E53, 1, length];
        words.extend(text(maker, 16));
        words.extend(text(model, 16));
        words.extend(text("", 8));
        words.extend(text(version, 8));
        words.extend(text(serial, 16));
        words.push(1);
        if length == 66 {
            words.push(0x8000);
        }
        Self { base, words }
    }

    /// And this model.
    #[must_use]
    pub fn model(mut self, id: u16, body: &[u16]) -> Self {
        self.words.extend([id, body.len() as u16]);
        self.words.extend(body);
        self
    }

    /// And a three-phase inverter (model 103) that delivers this.
    #[must_use]
    pub fn inverter(self, watts: u16, hertz_hundredths: u16) -> Self {
        let mut body = vec![NO_U16; 50];
        for (at, value) in [
            (0, 182),               // A
            (1, 61),                // AphA
            (2, 60),                // AphB
            (3, 61),                // AphC
            (4, 0xFFFF),            // A_SF -1
            (8, 2301),              // PhVphA
            (9, 2312),              // PhVphB
            (10, 2298),             // PhVphC
            (11, 0xFFFF),           // V_SF -1
            (12, watts),            // W
            (13, 0),                // W_SF
            (14, hertz_hundredths), // Hz
            (15, 0xFFFE),           // Hz_SF -2
            (16, NO_I16),           // VA
            (17, NO_I16),           // VA_SF
            (18, NO_I16),           // VAr
            (19, NO_I16),           // VAr_SF
            (20, NO_I16),           // PF
            (21, NO_I16),           // PF_SF
            (22, 0x0012),           // WH, high word
            (23, 0xD687),           // WH, low word
            (24, 0),                // WH_SF
            (26, NO_I16),           // DCA_SF
            (28, NO_I16),           // DCV_SF
            (29, NO_I16),           // DCW
            (30, NO_I16),           // DCW_SF
            (31, 412),              // TmpCab
            (32, NO_I16),           // TmpSnk
            (33, NO_I16),           // TmpTrns
            (34, NO_I16),           // TmpOt
            (35, 0xFFFF),           // Tmp_SF -1
            (36, 4),                // St: MPPT
            (38, 0),                // Evt1
            (39, 0),
            (40, 0), // Evt2
            (41, 0),
        ] {
            body[at] = value;
        }
        self.model(103, &body)
    }

    /// And a three-phase meter (model 203) that measures this.
    #[must_use]
    pub fn meter(self, watts: i16) -> Self {
        let mut body = vec![NO_I16; 105];
        for (at, value) in [
            (0, 55),            // A
            (4, 0xFFFF),        // A_SF -1
            (5, 2305),          // PhV
            (13, 0xFFFF),       // V_SF -1
            (14, 5001),         // Hz
            (15, 0xFFFE),       // Hz_SF -2
            (16, watts as u16), // W
            (20, 0),            // W_SF
            (36, 0x0001),       // TotWhExp, high word
            (37, 0x86A0),
            (44, 0x0003), // TotWhImp, high word
            (45, 0x0D40),
            (52, 0), // TotWh_SF
            (103, 0),
            (104, 0), // Evt
        ] {
            body[at] = value;
        }
        self.model(203, &body)
    }

    /// Puts it into `device`, with the end of the chain behind it.
    #[must_use]
    pub fn into_device(mut self, device: Device) -> Device {
        self.words.extend([0xFFFF, 0]);
        device.holding(self.base, &self.words)
    }
}

/// `words` words of text, filled up with zeros.
pub fn text(text: &str, words: usize) -> Vec<u16> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(words * 2, 0);
    bytes.chunks_exact(2).map(|pair| u16::from(pair[0]) << 8 | u16::from(pair[1])).collect()
}

/// "Not implemented" of an unsigned word.
const NO_U16: u16 = 0xFFFF;
/// "Not implemented" of a signed word.
const NO_I16: u16 = 0x8000;
