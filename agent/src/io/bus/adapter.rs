//! Our lines under what is written for tokio-modbus.
//!
//! `Context::from(Box::new(Client::new(..)) as Box<dyn tokio_modbus::client::Client>)` reads like any other context of
//! that crate, but over a connection that has one owner, one request on its way, and is closed after any mistake.
//! Nothing that writes is sent.

use std::io;
use std::pin::Pin;

use tokio_modbus::prelude::{
    ConformityLevel, DeviceIdObject, ReadCode, ReadDeviceIdentificationResponse, Request as Theirs, Response,
    SlaveContext,
};
use tokio_modbus::{Error, ExceptionCode, Slave};
use wayside_protocols::modbus::reply::{Part, Reply};
use wayside_protocols::modbus::request::{Objects, Request, Table};
use wayside_protocols::modbus::target::Target;
use wayside_protocols::modbus::unit::Unit;
use wayside_protocols::time::Duration;

use super::desk::Bus;

/// One unit behind one of our connections, as tokio-modbus sees it.
#[derive(Debug)]
pub struct Client {
    bus: Bus,
    target: Target,
    unit: Unit,
    deadline: Duration,
}

impl Client {
    /// A client that asks `unit` behind `target`, and waits for each reply at most `deadline`.
    pub fn new(bus: Bus, target: Target, unit: Unit, deadline: Duration) -> Self {
        Self { bus, target, unit, deadline }
    }

    async fn answer(&self, request: Theirs<'_>) -> tokio_modbus::Result<Response> {
        let ours = ours(&request)?;
        let asked = self.bus.ask_anew(&self.target, self.unit, ours, self.deadline, self.deadline).await;
        let (reply, _) = asked.map_err(|error| Error::Transport(io::Error::other(error)))?;
        Ok(match (reply, request) {
            (Reply::Exception(exception), _) => Err(ExceptionCode::new(exception.0)),
            (Reply::Bits(bits), Theirs::ReadCoils(..)) => Ok(Response::ReadCoils(bits)),
            (Reply::Bits(bits), _) => Ok(Response::ReadDiscreteInputs(bits)),
            (Reply::Registers(words), Theirs::ReadInputRegisters(..)) => Ok(Response::ReadInputRegisters(words)),
            (Reply::Registers(words), _) => Ok(Response::ReadHoldingRegisters(words)),
            (Reply::Identification(part), Theirs::ReadDeviceIdentification(code, _)) => {
                Ok(Response::ReadDeviceIdentification(identification(part, code)))
            }
            (Reply::Identification(_), _) => return Err(refused("identification where none was asked for")),
        })
    }
}

impl tokio_modbus::client::Client for Client {
    fn call<'a, 'b, 'f>(
        &'a mut self,
        request: Theirs<'b>,
    ) -> Pin<Box<dyn Future<Output = tokio_modbus::Result<Response>> + Send + 'f>>
    where
        'a: 'f,
        'b: 'f,
        Self: 'f,
    {
        Box::pin(async move { self.answer(request).await })
    }

    fn disconnect<'a, 'f>(&'a mut self) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send + 'f>>
    where
        'a: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            self.bus.hang_up(&self.target).await;
            Ok(())
        })
    }
}

impl SlaveContext for Client {
    fn set_slave(&mut self, slave: Slave) {
        self.unit = Unit(slave.0);
    }
}

/// The request in our words, which know no writing.
fn ours(request: &Theirs<'_>) -> Result<Request, Error> {
    let read = |table, start: u16, count: u16| {
        Request::read(table, start, count)
            .map_err(|error| Error::Transport(io::Error::new(io::ErrorKind::InvalidInput, error)))
    };
    match request {
        Theirs::ReadCoils(start, count) => read(Table::Coils, *start, *count),
        Theirs::ReadDiscreteInputs(start, count) => read(Table::DiscreteInputs, *start, *count),
        Theirs::ReadHoldingRegisters(start, count) => read(Table::HoldingRegisters, *start, *count),
        Theirs::ReadInputRegisters(start, count) => read(Table::InputRegisters, *start, *count),
        Theirs::ReadDeviceIdentification(code, first) => {
            let objects = match code {
                ReadCode::Basic => Objects::Basic,
                ReadCode::Regular => Objects::Regular,
                ReadCode::Extended => Objects::Extended,
                ReadCode::Specific => Objects::Single,
            };
            Ok(Request::Identify(objects, *first))
        }
        Theirs::WriteSingleCoil(..)
        | Theirs::WriteMultipleCoils(..)
        | Theirs::WriteSingleRegister(..)
        | Theirs::WriteMultipleRegisters(..)
        | Theirs::MaskWriteRegister(..)
        | Theirs::ReadWriteMultipleRegisters(..) => Err(refused("this program never writes to a device")),
        Theirs::ReportServerId | Theirs::Custom(..) => {
            Err(refused("this program asks only functions 1 to 4 and 43/14"))
        }
    }
}

fn refused(why: &'static str) -> Error {
    Error::Transport(io::Error::new(io::ErrorKind::PermissionDenied, why))
}

fn identification(part: Part, code: ReadCode) -> ReadDeviceIdentificationResponse {
    ReadDeviceIdentificationResponse {
        read_code: code,
        // Devices say anything here, and nothing depends on it.
        conformity_level: ConformityLevel::BasicIdentificationStreamOnly,
        more_follows: part.next.is_some(),
        next_object_id: part.next.unwrap_or(0),
        device_id_objects: (part.objects.into_iter())
            .map(|(id, value)| DeviceIdObject { id, value: Vec::from(value).into() })
            .collect(),
    }
}
