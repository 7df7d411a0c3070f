//! What statements run on: a connection of the pool, or a transaction on one.

use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row, Statement, ToStatement};

use super::{Client, Transaction};

type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

macro_rules! methods {
    ($($name:ident -> $answer:ty),+) => {
        /// The part that a connection and a transaction have in common.
        pub trait GenericClient: Sync {
            fn prepare_cached(&self, sql: &str) -> impl Future<Output = Result<Statement, Error>> + Send;

            fn batch_execute(&self, sql: &str) -> impl Future<Output = Result<(), Error>> + Send;

            $(fn $name<T: ?Sized + ToStatement + Sync + Send>(
                &self,
                statement: &T,
                parameters: Parameters<'_>,
            ) -> impl Future<Output = Result<$answer, Error>> + Send;)+
        }

        impl GenericClient for Client {
            async fn prepare_cached(&self, sql: &str) -> Result<Statement, Error> {
                (***self).prepare_cached(sql).await
            }

            async fn batch_execute(&self, sql: &str) -> Result<(), Error> {
                (****self).batch_execute(sql).await
            }

            $(async fn $name<T: ?Sized + ToStatement + Sync + Send>(
                &self,
                statement: &T,
                parameters: Parameters<'_>,
            ) -> Result<$answer, Error> {
                (****self).$name(statement, parameters).await
            })+
        }

        impl GenericClient for Transaction<'_> {
            async fn prepare_cached(&self, sql: &str) -> Result<Statement, Error> {
                Transaction::prepare_cached(self, sql).await
            }

            async fn batch_execute(&self, sql: &str) -> Result<(), Error> {
                (**self).batch_execute(sql).await
            }

            $(async fn $name<T: ?Sized + ToStatement + Sync + Send>(
                &self,
                statement: &T,
                parameters: Parameters<'_>,
            ) -> Result<$answer, Error> {
                (**self).$name(statement, parameters).await
            })+
        }
    };
}

methods!(query -> Vec<Row>, query_one -> Row, query_opt -> Option<Row>, execute -> u64);
