//! Products: create, show, list, stock, sale. Each parses, calls, renders.

use super::answer::Answer;
use super::call::Call;
use super::etag::{Compared, ETag, Tags};
use super::keys::{Digest, request_key};
use super::page::{Cursor, Page, percent_decoded};
use super::problem::Problem;
use super::status::Code;
use super::{json, wire};
use http::HeaderValue;
use son7shop_actors::NewProduct;
use son7shop_engine::{ProductView, Sku};

/// Starts selling a product.
///
/// Under an `Idempotency-Key`, the same request answers 201 again; without one, a repeat
/// is 409 `product_exists`.
#[utoipa::path(
    post, path = "/v1/products", tag = "products", operation_id = "create_product", request_body = wire::CreateProduct,
    params(("Idempotency-Key" = Option<String>, Header, description = "Drawn by the client, the same with every retry",
        min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    responses((status = 201, description = "The product is on disk", body = super::schema::Product,
        headers(("Location" = String, description = "Where the product is"), ("ETag" = String, description = "Of what is shown"),
                ("Idempotent-Replayed" = Option<String>, description = "`true`: an earlier request under the key had made it")))),
    security(("bearer" = []))
)]
pub(super) async fn create(call: Call) -> Result<Answer, Problem> {
    let admin = call.admin()?;
    let key = call.optional_key()?;
    let wire::CreateProduct { sku, name, price, on_hand } = wire::read(call.json()?)?;
    let mut request = Digest::of("create-product");
    request.text(sku.as_str()).text(&name).number(price.0).number(on_hand.cast_signed());
    let key = key.map(|key| request_key(&admin, key, &request));
    let done = call.api.shop.create_product(NewProduct { sku, name, price, on_hand, key }).await?;
    let (json, tag) = shown(&done.value);
    Ok(Answer::created(location(&done.value.sku), json).tagged(&tag).replayed(done.repeated))
}

/// A product with its stock and its sale.
#[utoipa::path(
    get, path = "/v1/products/{sku}", tag = "products", operation_id = "show_product",
    params(super::schema::SkuInPath, ("If-None-Match" = Option<String>, Header, description = "Entity tags that the reader has",
            pattern = "^([*]|(W/)?\"[!#-~]*\"( *, *(W/)?\"[!#-~]*\")*)$")),
    responses((status = 200, description = "The product", body = super::schema::Product,
            headers(("ETag" = String, description = "Of what is shown; its part before the dot, of the sale"))),
        (status = 304, description = "The reader has it"))
)]
pub(super) async fn show(sku: String, call: Call) -> Result<Answer, Problem> {
    let known = call.if_none_match()?;
    let product = call.api.shop.product(sku_in_path(&sku)?).await?;
    let (json, tag) = shown(&product);
    Ok(if tag.is_known_by(known.as_ref()) { Answer::not_modified(&tag) } else { Answer::ok(json).tagged(&tag) })
}

/// Products, by sku.
#[utoipa::path(
    get, path = "/v1/products", tag = "products", operation_id = "list_products", params(super::page::PageParameters),
    responses((status = 200, description = "A page of products", body = super::schema::Products))
)]
pub(super) async fn list(query: String, call: Call) -> Result<Answer, Problem> {
    let page = Page::read(&query)?;
    let after = page.after.map(|cursor| Cursor::product(&cursor)).transpose()?;
    // One more than asked for tells whether there is a next page.
    let mut products = call.api.shop.products(after, page.limit + 1).await?;
    let more = products.len() > page.limit as usize;
    products.truncate(page.limit as usize);
    let next = products.last().filter(|_| more).map(|last| Cursor::of_product(&last.sku));
    Ok(Answer::ok(json::products(&products, next.as_deref())))
}

/// Adds units to a product, or takes some out; never below what is held.
#[utoipa::path(
    post, path = "/v1/products/{sku}/stock", tag = "products", operation_id = "adjust_stock", request_body = wire::AdjustStock,
    params(super::schema::SkuInPath, ("Idempotency-Key" = String, Header, description = "Drawn by the client, the same with every retry",
        min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    responses((status = 200, description = "The product after the change", body = super::schema::Product,
        headers(("ETag" = String, description = "Of what is shown"),
                ("Idempotent-Replayed" = Option<String>, description = "`true`: an earlier request under the key had done it")))),
    security(("bearer" = []))
)]
pub(super) async fn adjust_stock(sku: String, call: Call) -> Result<Answer, Problem> {
    let admin = call.admin()?;
    let sku = sku_in_path(&sku)?;
    let key = call.key()?;
    let wire::AdjustStock { delta, reason } = wire::read(call.json()?)?;
    let mut request = Digest::of("adjust-stock");
    request.text(sku.as_str()).number(delta).text(&reason);
    let key = request_key(&admin, key, &request);
    let done = call.api.shop.adjust_stock(sku, delta, reason, key).await?;
    let (json, tag) = shown(&done.value);
    Ok(Answer::ok(json).tagged(&tag).replayed(done.repeated))
}

/// Puts a product on sale, or changes its sale; what customers took in it stays counted.
///
/// `If-Match` compares the sale only, not the stock. It is looked at just before the
/// edit: of two edits within the same instant, both may go through.
#[utoipa::path(
    put, path = "/v1/products/{sku}/sale", tag = "products", operation_id = "set_sale", request_body = wire::SetSale,
    params(super::schema::SkuInPath, super::schema::EditConditions),
    responses((status = 200, description = "The product with its sale", body = super::schema::Product,
        headers(("ETag" = String, description = "Of what is shown")))),
    security(("bearer" = []))
)]
pub(super) async fn set_sale(sku: String, call: Call) -> Result<Answer, Problem> {
    call.admin()?;
    let sku = sku_in_path(&sku)?;
    let terms = wire::read::<wire::SetSale>(call.json()?)?.into_terms()?;
    check_conditions(&call, &sku).await?;
    let (json, tag) = shown(&call.api.shop.set_sale(sku, terms).await?);
    Ok(Answer::ok(json).tagged(&tag))
}

/// Ends a product's sale: it sells at its own price again, and what customers took in the
/// sale is forgotten. Without a sale: 404 `no_sale`.
#[utoipa::path(
    delete, path = "/v1/products/{sku}/sale", tag = "products", operation_id = "delete_sale",
    params(super::schema::SkuInPath, super::schema::EditConditions),
    responses((status = 200, description = "The product without its sale", body = super::schema::Product,
        headers(("ETag" = String, description = "Of what is shown")))),
    security(("bearer" = []))
)]
pub(super) async fn delete_sale(sku: String, call: Call) -> Result<Answer, Problem> {
    call.admin()?;
    let sku = sku_in_path(&sku)?;
    check_conditions(&call, &sku).await?;
    let (json, tag) = shown(&call.api.shop.delete_sale(sku).await?);
    Ok(Answer::ok(json).tagged(&tag))
}

/// Looks at the product if the edit of its sale has conditions.
async fn check_conditions(call: &Call, sku: &Sku) -> Result<(), Problem> {
    let (wanted, unwanted) = (call.if_match()?, call.if_none_match()?);
    if wanted.is_none() && unwanted.is_none() {
        return Ok(());
    }
    let product = call.api.shop.product(sku.clone()).await?;
    let (_, tag) = shown(&product);
    let names = |tags: &Tags, compared| tag.names_sale(tags, compared, product.sale.is_some());
    let wanted = wanted.is_none_or(|tags| names(&tags, Compared::Strongly));
    if wanted && !unwanted.is_some_and(|tags| names(&tags, Compared::Weakly)) {
        return Ok(());
    }
    let current = tag.to_string();
    Err(Problem::named(
        Code::PreconditionFailed,
        "etag",
        &current,
        "the sale is not as the request expects; read the product again",
    ))
}

/// A product as JSON, and its tag.
fn shown(product: &ProductView) -> (Vec<u8>, ETag) {
    let (json, sale) = json::product(product);
    let tag = ETag::of_product(&json[sale], &json);
    (json, tag)
}

fn sku_in_path(text: &str) -> Result<Sku, Problem> {
    Sku::parse(&percent_decoded(text)).map_err(|error| Problem::parameter("sku", error.to_string()))
}

fn location(sku: &Sku) -> HeaderValue {
    // A sku is always a valid value; the fallback is never taken.
    HeaderValue::try_from(format!("/v1/products/{sku}")).unwrap_or(HeaderValue::from_static("/v1/products"))
}
