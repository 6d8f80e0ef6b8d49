/** Ports that two units of a pair reach each other by, on both. */
/** TCP: their session. */
export const PAIR_PORT = 9347;
/** UDP: heartbeats of their speakers. */
export const HEARTBEAT_PORT = 9348;
