//! What a sequence consists of.

use crate::security::Scene;

/// A handle of a sequence: by its place, none, or one that is none of the library's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Handle {
    At(usize),
    Null,
    /// Memory of ours, all zeros.
    Foreign,
}

/// An endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// As it stands; `{dir}` is a folder of this run.
    Text(String),
    /// As LAST_ENDPOINT had it when this was bound.
    Bound(usize),
}

/// The bytes of a part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body {
    /// So many bytes, that begin with the sender and a number as far as they reach.
    Made {
        sender: usize,
        number: usize,
        bytes: usize,
    },
    Raw(Vec<u8>),
    /// The routing id that a ROUTER or STREAM received as its n-th new one.
    Peer(usize),
}

/// How a part is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SendForm {
    Buffer,
    Const,
    Message,
    OldMessage,
}

/// How a part is received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecvForm {
    /// `zmq_recv` with so much room.
    Buffer(usize),
    Message,
    OldMessage,
}

/// Which order of messages is promised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// There is one peer, and one way to it.
    All,
    /// Those of each peer are in order.
    OfEach,
    /// A peer is connected twice.
    None,
}

/// What is in a `zmq_pollitem_t`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Polled {
    Socket(Handle),
    /// A pipe that holds a byte, or holds none.
    Pipe(bool),
}

/// What is said to a proxy, or sent through it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Steer {
    Pause,
    Resume,
    Statistics,
    /// So many messages from the clients' side, which are answered.
    Pass(usize),
}

/// A call, or some that belong together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Call {
    CtxNew {
        context: usize,
    },
    Init {
        context: usize,
        threads: i32,
    },
    CtxSet {
        context: Handle,
        option: i32,
        value: i32,
    },
    CtxGet {
        context: Handle,
        option: i32,
    },
    CtxShutdown {
        context: Handle,
    },
    /// Closes what is open first.
    CtxTerm {
        context: usize,
    },
    /// While sockets are open, on another thread: what they say, and whether it waits for them.
    CtxTermOpen {
        context: usize,
    },
    CtxTermInvalid {
        context: Handle,
    },

    Socket {
        context: Handle,
        socket: usize,
        kind: i32,
    },
    Close {
        socket: Handle,
    },
    Bind {
        socket: Handle,
        to: Place,
        bound: usize,
    },
    Connect {
        socket: Handle,
        to: Place,
    },
    Unbind {
        socket: Handle,
        from: Place,
    },
    Disconnect {
        socket: Handle,
        from: Place,
    },

    Set {
        socket: Handle,
        option: i32,
        value: Option<Vec<u8>>,
    },
    Get {
        socket: Handle,
        option: i32,
        room: usize,
    },

    Send {
        socket: Handle,
        body: Body,
        flags: i32,
        form: SendForm,
    },
    SendIov {
        socket: Handle,
        bodies: Vec<Body>,
        flags: i32,
    },
    /// Sends until it is refused.
    Fill {
        socket: Handle,
        most: usize,
    },
    Recv {
        socket: Handle,
        form: RecvForm,
        flags: i32,
    },
    RecvIov {
        socket: Handle,
        count: usize,
    },
    /// All there is.
    Drain {
        socket: Handle,
        order: Order,
    },
    /// The properties of the next message.
    RecvProperties {
        socket: Handle,
    },

    Poll {
        items: Vec<(Polled, i16)>,
        timeout: i64,
    },
    PollInvalid {
        count: i32,
    },
    Monitor {
        socket: Handle,
        monitor: usize,
        to: Place,
        events: i32,
    },
    MonitorEvents {
        monitor: usize,
    },
    MonitorStop {
        socket: Handle,
    },

    MsgInit {
        message: usize,
    },
    MsgInitSize {
        message: usize,
        bytes: usize,
    },
    MsgInitData {
        message: usize,
        bytes: usize,
        free: bool,
    },
    MsgLook {
        message: usize,
    },
    MsgGet {
        message: usize,
        property: i32,
    },
    MsgSet {
        message: usize,
        property: i32,
    },
    MsgGets {
        message: usize,
        property: String,
    },
    MsgMove {
        to: usize,
        from: usize,
    },
    MsgCopy {
        to: usize,
        from: usize,
    },
    MsgClose {
        message: usize,
    },
    MsgSend {
        message: usize,
        socket: Handle,
        flags: i32,
    },
    MsgRecv {
        message: usize,
        socket: Handle,
    },
    /// How often the free function has been called.
    MsgFreed,

    Proxy {
        capture: bool,
        steps: Vec<Steer>,
    },
    Stream {
        steps: Vec<usize>,
        close: bool,
    },
    Secured(Box<Scene>),

    Has {
        what: String,
    },
    Strerror {
        number: i32,
    },
    Z85Encode {
        data: Vec<u8>,
    },
    Z85Decode {
        text: String,
    },
    CurvePublic {
        secret: String,
    },
    CurveKeypair,

    CounterNew,
    CounterSet(i32),
    CounterInc,
    CounterDec,
    CounterValue,
    CounterDestroy,

    TimersNew,
    TimersAdd {
        interval: usize,
    },
    TimersCancel {
        timer: i32,
    },
    TimersSetInterval {
        timer: i32,
        interval: usize,
    },
    TimersReset {
        timer: i32,
    },
    TimersTimeout,
    TimersExecute {
        after_ms: u64,
    },
    TimersDestroy,
    TimersInvalid,

    Stopwatch,
    Thread,
}
